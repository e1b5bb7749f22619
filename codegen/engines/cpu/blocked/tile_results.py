"""Assembly of AArch64 that clamps the sums of a register tile and stores them where the results belong."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from itertools import pairwise

from codegen.engines.cpu.machine import FLOAT_BYTES
from codegen.expression import RESULT, Expression, as_clamp

VECTOR_BYTES = 16
LIMITS = 30, 31  # registers of the limits, which no sums need
POINTERS = ("x9", "x10", "x11", "x12")  # of blocks behind the first: as many as tiles have at most
RESULT_CLOBBERS = (*POINTERS[2:], *(f"v{number}" for number in LIMITS))
MOST_OFFSET = 65520  # bytes, of a store


@dataclass(frozen=True)
class Results:
    """Limits of values, and the bytes from block to block of them; neighbouring pixels are neighbours in memory."""

    low: float | None
    high: float | None
    block_bytes: int

    @staticmethod
    def of(epilogue: Expression, block: int) -> Results | None:
        """Of an epilogue and the elements from block to block; None where it is no clamp."""
        clamped, low, high = as_clamp(epilogue)
        return Results(low, high, block * FLOAT_BYTES) if clamped == RESULT else None

    @property
    def operands(self) -> tuple[tuple[str, str], ...]:
        """Operands of the instructions, and their values in C."""
        limits = (("low", self.low), ("high", self.high))
        bits = [(name, f"{_bits(value):#x}") for name, value in limits if value is not None]
        return (*bits, ("block", f"{self.block_bytes}l"))


def result_lines(pixels: int, blocks: int, results: Results) -> list[str]:
    """The sums of registers `pixel * blocks + block`, stored at `sums` and so many blocks behind it."""
    totals = range(pixels * blocks)
    lines = []
    for (name, value), register, instruction in zip(
        (("low", results.low), ("high", results.high)), LIMITS, ("fmax", "fmin"), strict=True
    ):
        if value is not None:
            lines.append(f"dup v{register}.4s, %w[{name}]")
            lines += [f"{instruction} v{i}.4s, v{i}.4s, v{register}.4s" for i in totals]
    places = ["%[sums]", *POINTERS[: blocks - 1]]
    lines += [f"add {place}, {before}, %[block]" for before, place in pairwise(places)]
    return [
        *lines,
        *(
            f"str q{pixel * blocks + block}, [{places[block]}, #{pixel * VECTOR_BYTES}]"
            for block in range(blocks)
            for pixel in range(pixels)
        ),
    ]


def _bits(value: float) -> int:
    (bits,) = struct.unpack("<I", struct.pack("<f", value))
    return int(bits)
