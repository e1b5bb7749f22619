"""Assembly of AArch64 for the register tile of a pointwise convolution of integers of 8 bits.

Inputs and weights are 16-bit elements in registers: a `mla` of eight of them by an element does twice the multiply-adds
of one of four floats, and inputs need no copies. Sums of the four products of a quad of inputs stay in 16 bits where
the magnitudes of their weights sum to no more than `MOST_MAGNITUDE` (inputs are -128 to 127); elsewhere those of two
are widened at a time. Which of both is known when weights are packed: a flag for each quad of a tile of outputs.

A Cortex-A53 issues one such product a cycle, a result is ready after four, and loads of halves of registers go beside
products (sources: microbench/emulation/cores/cortex-a53.toml): products are taken in rounds of four, and what the next
quad needs is loaded behind the last product that reads its register.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from codegen.engines.cpu.int8.products import QUAD

REGISTERS = 32
BY_ELEMENT = 16  # registers that products can take an element of
MOST_MAGNITUDE = 255
ROUND = 4  # products of different sums between those of one
PAIR_LANES = 8  # outputs of a register of 16-bit elements: two blocks
SHIFT = 128  # less which unsigned inputs are signed
TEMPORARIES = ("x9", "x10")
FLAG = "w11"
MOVES = 5  # instructions that go to the next quad, each beside a product


@dataclass(frozen=True)
class GroupedShape:
    """`pixels` by `blocks` of sums. Pixels of a block of inputs lie `stride` bytes apart; `is_unsigned`: inputs are."""

    pixels: int
    blocks: int
    stride: int
    is_unsigned: bool

    @property
    def pairs(self) -> int:
        """Registers of outputs: pairs of blocks, the last one perhaps of one block and zeros."""
        return -(-self.blocks // 2)

    @property
    def inputs(self) -> int:
        """Registers of inputs: two pixels each where these are neighbours."""
        return -(-self.pixels // 2) if self.stride == QUAD else self.pixels

    @property
    def registers(self) -> int:
        """Inputs, what is subtracted of them, weights, products, sums."""
        return self.inputs + 1 + QUAD * self.pairs + ROUND + 2 * self.pairs * self.pixels

    @property
    def fits(self) -> bool:
        """Whether registers suffice."""
        return self.registers <= REGISTERS and self.inputs <= BY_ELEMENT

    @property
    def weight_bytes(self) -> int:
        """Of a quad of inputs."""
        return QUAD * self.pairs * 2 * PAIR_LANES

    @property
    def shift(self) -> int:
        """Register of what is subtracted of inputs."""
        return self.inputs

    def input(self, pixel: int, channel: int) -> str:
        """The element of a pixel's channel."""
        if self.stride == QUAD:
            return f"v{pixel // 2}.h[{pixel % 2 * QUAD + channel}]"
        return f"v{pixel}.h[{channel}]"

    def weight(self, channel: int, pair: int) -> int:
        """Register of the weights of a channel of a quad."""
        return self.inputs + 1 + channel * self.pairs + pair

    def product(self, place: int) -> int:
        """Register of the sums of products of a round."""
        return self.inputs + 1 + QUAD * self.pairs + place

    def total(self, pixel: int, block: int) -> int:
        """Register of a sum."""
        return self.inputs + 1 + QUAD * self.pairs + ROUND + 2 * self.pairs * pixel + block


def most_pixels(blocks: int, stride: int) -> int:
    """The widest tile of so many blocks that registers hold and whose products are whole rounds."""
    shapes = (GroupedShape(p, blocks, stride, is_unsigned=True) for p in range(1, REGISTERS))
    return max((s.pixels for s in shapes if s.fits and s.pixels * s.pairs % ROUND == 0), default=0)


def packed_quads(tile: NDArray[np.int8]) -> NDArray[np.int8]:
    """Weights (quads, blocks, lanes, quad) of a tile as 16-bit [quad][channel][pair of blocks][8 lanes], in bytes."""
    quads, blocks, lanes, _ = tile.shape
    whole = np.zeros((quads, blocks + blocks % 2, lanes, QUAD), dtype="<i2")
    whole[:, :blocks] = tile
    paired = whole.reshape(quads, -1, 2 * lanes, QUAD).transpose(0, 3, 1, 2)
    return np.ascontiguousarray(paired).view(np.int8).reshape(-1)


def flags_of(tile: NDArray[np.int8]) -> NDArray[np.int8]:
    """1 for each quad of weights as above whose products may leave 16 bits."""
    magnitudes = np.abs(tile.astype(np.int32)).sum(axis=-1).max(axis=(1, 2))
    flags: NDArray[np.int8] = np.asarray(magnitudes > MOST_MAGNITUDE, dtype=np.int8)
    return flags


def grouped_assembly(shape: GroupedShape) -> list[str]:
    """Instructions from the bias to sums in memory.

    Operands: `x`, the first block of inputs; `step`, bytes to the next; `w`; `flags`; `steps`, quads of inputs; `bias`;
    `sums`, `[pixel][block]`. The first five but `step` are changed.
    """
    lines = [f"movi v{shape.shift}.16b, #{SHIFT if shape.is_unsigned else 0}", *_starts(shape)]
    lines += [f"ldr q{register}, [%[w], #{offset}]" for register, offset in _weights(shape)]
    lines += _inputs(shape)
    lines += [f"ldrb {FLAG}, [%[flags]], #1", "1:", f"cbnz {FLAG}, 3f"]
    lines += [*_quad(shape), "cbnz %[steps], 1b", "b 4f"]
    lines += ["3:", *_moves(shape), *_cautious_quad(shape), "cbnz %[steps], 1b", "4:"]
    for pixel in range(shape.pixels):
        for block in range(shape.blocks):
            place = (pixel * shape.blocks + block) * 16
            lines.append(f"str q{shape.total(pixel, block)}, [%[sums], #{place}]")
    return lines


def clobbers(shape: GroupedShape) -> tuple[str, ...]:
    """What the instructions change, operands apart."""
    general = (*TEMPORARIES, "x11", "x12")
    return (*(f"v{number}" for number in range(shape.registers)), *general, "cc", "memory")


def _starts(shape: GroupedShape) -> list[str]:
    lines = []
    for block in range(2 * shape.pairs):
        first = shape.total(0, block)
        there = block < shape.blocks
        lines.append(f"ldr q{first}, [%[bias], #{block * 16}]" if there else f"movi v{first}.4s, #0")
        lines += [f"mov v{shape.total(pixel, block)}.16b, v{first}.16b" for pixel in range(1, shape.pixels)]
    return lines


def _weights(shape: GroupedShape) -> list[tuple[int, int]]:
    """Registers of a quad's weights and their offsets in bytes, as they are wanted."""
    return [
        (shape.weight(channel, pair), (channel * shape.pairs + pair) * 2 * PAIR_LANES)
        for channel in range(QUAD)
        for pair in range(shape.pairs)
    ]


def _input_load(shape: GroupedShape, register: int) -> str:
    if shape.stride == QUAD:
        is_last = 2 * register + 1 == shape.pixels
        return f"ldr {'s' if is_last else 'd'}{register}, [%[x], #{register * 2 * QUAD}]"
    return f"ldr s{register}, [%[x], #{register * shape.stride}]"


def _widened(shape: GroupedShape, register: int) -> str:
    name = "usubl" if shape.is_unsigned else "ssubl"
    return f"{name} v{register}.8h, v{register}.8b, v{shape.shift}.8b"


def _inputs(shape: GroupedShape) -> list[str]:
    loads = [_input_load(shape, register) for register in range(shape.inputs)]
    return [*loads, *(_widened(shape, register) for register in range(shape.inputs))]


def _moves(shape: GroupedShape) -> list[str]:
    """To the next quad; behind the last one inputs are read again, and weights beyond them, which are others."""
    return [
        "subs %[steps], %[steps], #1",
        "csel x12, %[step], xzr, ne",
        "add %[x], %[x], x12",
        f"add %[w], %[w], #{shape.weight_bytes}",
        f"ldrb {FLAG}, [%[flags]], #1",
    ]


def _units(shape: GroupedShape) -> list[tuple[int, int]]:
    return [(pixel, pair) for pixel in range(shape.pixels) for pair in range(shape.pairs)]


def _products(shape: GroupedShape, units: list[tuple[int, int]], channels: range) -> list[str]:
    lines = []
    for channel in channels:
        name = "mul" if channel == channels[0] else "mla"
        for place, (pixel, pair) in enumerate(units):
            weight, element = shape.weight(channel, pair), shape.input(pixel, channel)
            lines.append(f"{name} v{shape.product(place)}.8h, v{weight}.8h, {element}")
    return lines


def _sums(shape: GroupedShape, units: list[tuple[int, int]]) -> list[str]:
    lines = []
    for half, (name, part) in enumerate((("saddw", "4h"), ("saddw2", "8h"))):
        for place, (pixel, pair) in enumerate(units):
            total = shape.total(pixel, 2 * pair + half)
            lines.append(f"{name} v{total}.4s, v{total}.4s, v{shape.product(place)}.{part}")
    return lines


def _rounds(shape: GroupedShape) -> list[list[tuple[int, int]]]:
    """As even as there can be."""
    units = _units(shape)
    count = -(-len(units) // ROUND)
    edges = [len(units) * i // count for i in range(count + 1)]
    return [units[first:end] for first, end in pairwise(edges)]


def _quad(shape: GroupedShape) -> list[str]:
    """Sums of four products; between them what the next quad needs is loaded."""
    lines = [
        line
        for units in _rounds(shape)
        for line in (*_products(shape, units, range(QUAD)), *_sums(shape, units))
    ]
    last: dict[str, int] = {}
    for number, line in enumerate(lines):
        for word in line.replace(",", "").split()[2:]:
            last[word.split(".")[0]] = number
    beside: dict[int, list[str]] = {number: [] for number in range(len(lines))}
    for number, move in enumerate(_moves(shape)):
        beside[number].append(move)
    free = [(max(last[f"v{register}"], MOVES), register, offset) for register, offset in _weights(shape)]
    place, late = 0, []
    for moved, (earliest, register, offset) in enumerate(sorted(free)):
        place = max(place + 1, earliest)
        if place + 1 >= len(lines):
            late.append(f"ldr q{register}, [%[w], #{offset}]")
            continue
        name = TEMPORARIES[moved % 2]
        beside[place - 1].insert(0, f"ldr {name}, [%[w], #{offset + 8}]")
        beside[place].append(f"ldr d{register}, [%[w], #{offset}]")
        beside[place + 1].append(f"ins v{register}.d[1], {name}")
        place += 1
    for register in range(shape.inputs):
        place = max(last[f"v{register}"], MOVES)
        beside[place].append(_input_load(shape, register))
        beside[min(place + ROUND, len(lines) - 1)].append(_widened(shape, register))
    return [*(text for number, line in enumerate(lines) for text in (line, *beside[number])), *late]


def _cautious_quad(shape: GroupedShape) -> list[str]:
    """Sums of two products at a time, then what the next quad needs."""
    lines = []
    for units in _rounds(shape):
        for channels in (range(2), range(2, QUAD)):
            lines += [*_products(shape, units, channels), *_sums(shape, units)]
    lines += [f"ldr q{register}, [%[w], #{offset}]" for register, offset in _weights(shape)]
    return [*lines, *_inputs(shape)]
