"""Assembly of AArch64 for a register tile of a convolution of integers of 8 bits, packed as 16-bit elements.

A step is four elements of each pixel by a pair of blocks of output channels: four input channels at a tap of the
window, whose pixels follow each other (`spread` 4), or four taps of a row of one channel, of which pixels share all but
one (`spread` 1). A `mla` takes eight outputs by an element, twice the multiply-adds of one of four floats; sums of a
step's four products stay in 16 bits where the magnitudes of their weights sum to no more than `MOST_MAGNITUDE` (inputs
are -128 to 127), elsewhere two are widened at a time. Which of both is known when weights are packed: a flag for each
step of a tile of outputs.

A Cortex-A53 issues one such product a cycle, a result is ready after four: products are taken in rounds of four pixels,
and what the next step needs is brought behind the last product that reads its register (`moves`).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from codegen.engines.cpu.int8.moves import TEMPORARIES, Move, with_moves
from codegen.engines.cpu.int8.products import QUAD

MOST_PIXELS = 8
MOST_MAGNITUDE = 255
ROUND = 4  # products of different sums between those of one
PAIR = 2  # blocks of a register of 16-bit elements
PAIR_LANES = PAIR * QUAD
STEP_BYTES = QUAD * PAIR_LANES * 2  # of weights
HALF_BYTES = 8
MOVED = 1  # instructions behind the start of a step from which on `x` is the next one's
FLAG, DELTA = "w16", "x17"
SUMS = 2 * QUAD + MOST_PIXELS  # the first register of sums, behind inputs, weights and products


@dataclass(frozen=True)
class PackedShape:
    """`pixels` by `blocks` (one or two) of sums; a pixel's elements lie `spread` elements behind those before."""

    pixels: int
    blocks: int
    spread: int

    @property
    def inputs(self) -> int:
        """Registers of four elements."""
        return -(-((self.pixels - 1) * self.spread + QUAD) // QUAD)

    @property
    def rounds(self) -> list[range]:
        """Pixels that are multiplied together, as even as it goes."""
        count = -(-self.pixels // ROUND)
        edges = [self.pixels * i // count for i in range(count + 1)]
        return [range(first, end) for first, end in pairwise(edges)]

    def input(self, pixel: int, element: int) -> tuple[int, int]:
        """Register and lane of an element of a pixel."""
        return divmod(pixel * self.spread + element, QUAD)

    @staticmethod
    def weight(element: int) -> int:
        return MOST_PIXELS + element

    @staticmethod
    def product(place: int) -> int:
        return MOST_PIXELS + QUAD + place

    @staticmethod
    def total(pixel: int, block: int) -> int:
        return SUMS + PAIR * pixel + block


def packed_weights(tile: NDArray[np.int8]) -> NDArray[np.int8]:
    """Weights (steps, blocks, lanes, elements) as 16-bit [step][element][two blocks of lanes], in bytes, then flags."""
    steps, blocks = tile.shape[:2]
    whole = np.zeros((steps, PAIR, QUAD, QUAD), dtype="<i2")
    whole[:, :blocks] = tile
    packed = np.ascontiguousarray(whole.reshape(steps, PAIR_LANES, QUAD).transpose(0, 2, 1))
    magnitudes = np.abs(tile.astype(np.int32)).sum(axis=-1).max(axis=(1, 2))
    return np.concatenate([packed.view(np.int8).reshape(-1), (magnitudes > MOST_MAGNITUDE).astype(np.int8)])


def packed_assembly(shape: PackedShape) -> list[str]:
    """Instructions that compute the sums in memory.

    Operands: `x`, the elements of the first step, and `ahead`, of the second; `deltas`, 32-bit bytes from each step's
    to the next from the second step on, the last two any that may be read; `w`, which is read a step beyond; `flags`,
    likewise; `steps`; `bias`; `sums`, `[pixel][block]`. All but the last two are changed.
    """
    lines = []
    for block in range(PAIR):
        first = shape.total(0, block)
        there = block < shape.blocks
        lines.append(f"ldr q{first}, [%[bias], #{block * 16}]" if there else f"movi v{first}.4s, #0")
        lines += [f"mov v{shape.total(p, block)}.16b, v{first}.16b" for p in range(1, shape.pixels)]
    lines += [*_loads(shape), f"ldrb {FLAG}, [%[flags]], #1", "1:", f"cbnz {FLAG}, 3f"]
    lines += [*_step(shape), f"add %[w], %[w], #{STEP_BYTES}", "cbnz %[steps], 1b", "b 4f"]
    lines += ["3:", *_cautious_step(shape), "cbnz %[steps], 1b", "4:"]
    for pixel in range(shape.pixels):
        for block in range(shape.blocks):
            place = (pixel * shape.blocks + block) * 16
            lines.append(f"str q{shape.total(pixel, block)}, [%[sums], #{place}]")
    return lines


def clobbers(shape: PackedShape) -> tuple[str, ...]:
    """What the instructions change, operands apart."""
    vectors = (f"v{number}" for number in range(shape.total(shape.pixels, 0)))
    return (*vectors, *TEMPORARIES, "x16", "x17", "cc", "memory")


def _loads(shape: PackedShape) -> list[str]:
    """Of a whole step."""
    weights = [f"ldr q{shape.weight(e)}, [%[w], #{2 * e * HALF_BYTES}]" for e in range(QUAD)]
    return [*weights, *(f"ldr d{r}, [%[x], #{r * HALF_BYTES}]" for r in range(shape.inputs))]


def _products(shape: PackedShape, pixels: range, elements: range) -> list[str]:
    lines = []
    for element in elements:
        name = "mul" if element == elements[0] else "mla"
        for place, pixel in enumerate(pixels):
            register, lane = shape.input(pixel, element)
            product, weight = shape.product(place), shape.weight(element)
            lines.append(f"{name} v{product}.8h, v{weight}.8h, v{register}.h[{lane}]")
    return lines


def _sums(shape: PackedShape, pixels: range) -> list[str]:
    lines = []
    for block, (name, part) in enumerate((("saddw", "4h"), ("saddw2", "8h"))):
        for place, pixel in enumerate(pixels):
            total = shape.total(pixel, block)
            lines.append(f"{name} v{total}.4s, v{total}.4s, v{shape.product(place)}.{part}")
    return lines


def _step(shape: PackedShape) -> list[str]:
    """Sums of four products, and between them what the next step needs."""
    lines: list[str] = []
    last: dict[int, int] = {}
    for pixels in shape.rounds:
        for element in range(QUAD):
            last |= {
                register: len(lines) + len(pixels) * (element + 1)
                for register in (shape.weight(element), *(shape.input(p, element)[0] for p in pixels))
            }
        lines += [*_products(shape, pixels, range(QUAD)), *_sums(shape, pixels)]
    moves = [Move(r, f"[%[x], #{r * HALF_BYTES}]", last[r], loadable=MOVED) for r in range(shape.inputs)]
    for element in range(QUAD):
        register, offset = shape.weight(element), STEP_BYTES + 2 * element * HALF_BYTES
        moves += [
            Move(register, f"[%[w], #{offset + half * HALF_BYTES}]", last[register], half)
            for half in range(2)
        ]
    others = {number: [text] for number, text in enumerate(_onwards(shape))}
    return with_moves(lines, moves, others)


def _onwards(shape: PackedShape) -> list[str]:
    """To the next step, and what that behind it reads into the first cache."""
    last_byte = shape.inputs * HALF_BYTES - 1
    return [
        "mov %[x], %[ahead]",
        f"ldrsw {DELTA}, [%[deltas]], #4",
        f"ldrb {FLAG}, [%[flags]], #1",
        "sub %[steps], %[steps], #1",
        f"add %[ahead], %[ahead], {DELTA}",
        "prfm pldl1keep, [%[ahead]]",
    ] + ([f"prfm pldl1keep, [%[ahead], #{last_byte // 8 * 8}]"] if last_byte >= 8 else [])


def _cautious_step(shape: PackedShape) -> list[str]:
    """Sums of two products at a time, then what the next step needs."""
    lines = _onwards(shape)
    for pixels in shape.rounds:
        for elements in (range(2), range(2, QUAD)):
            lines += [*_products(shape, pixels, elements), *_sums(shape, pixels)]
    return [*lines, f"add %[w], %[w], #{STEP_BYTES}", *_loads(shape)]
