"""What a Winograd convolution of integers of 8 bits depends on: transforms in integers, places, packed weights.

F(m x m, 3 x 3) is exact in integers where the rows of the filters' transform are multiplied by what makes them whole,
and those of the results' by what is left of a common multiple: a result is `scale` times the sum, which is divided in
32 bits by a multiplication with the inverse of its odd part and a shift by its power of two. The sum must fit what that
shift leaves of 32 bits; products and their sums may go round.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from codegen.engines.cpu.int8.conv_source import starts_and_factors
from codegen.engines.cpu.int8.products import QUAD
from codegen.expression import Expression
from codegen.tensor import Array, FloatArray
from codegen.winograd import TAPS

MOST_INPUT = 128  # magnitude of an input that is multiplied
WORD_BITS = 32
LINE_BYTES = 64
SUM_BYTES, ELEMENT_BYTES = 4, 2  # of products' sums, of what is multiplied
MOST_TILES = 8  # of a register tile


@dataclass(frozen=True)
class IntegerTransform:
    """The matrices of F(m x m, 3 x 3) of one axis: filters (m + 2, 3), inputs (m + 2, m + 2), results (m, m + 2), and
    by what the result is a multiple of the sum.
    """

    filters: tuple[tuple[int, ...], ...]
    inputs: tuple[tuple[int, ...], ...]
    results: tuple[tuple[int, ...], ...]
    scale: int

    @property
    def shift(self) -> int:
        """The power of two of both axes' scales."""
        square = self.scale**2
        return (square & -square).bit_length() - 1

    @property
    def inverse(self) -> int:
        """Of the odd part of both axes' scales, modulo 2^32."""
        return pow(self.scale**2 >> self.shift, -1, 1 << WORD_BITS)


TRANSFORMS = {
    2: IntegerTransform(
        filters=((1, 0, 0), (1, 1, 1), (1, -1, 1), (0, 0, 1)),
        inputs=((1, 0, -1, 0), (0, 1, 1, 0), (0, -1, 1, 0), (0, -1, 0, 1)),
        results=((2, 1, 1, 0), (0, 1, -1, 2)),
        scale=2,
    ),
    4: IntegerTransform(
        filters=((1, 0, 0), (1, 1, 1), (1, -1, 1), (1, 2, 4), (1, -2, 4), (0, 0, 1)),
        inputs=(
            (4, 0, -5, 0, 1, 0),
            (0, -4, -4, 1, 1, 0),
            (0, 4, -4, -1, 1, 0),
            (0, -2, -1, 2, 1, 0),
            (0, 2, -1, -2, 1, 0),
            (0, 4, 0, -5, 0, 1),
        ),
        results=((6, -4, -4, 1, 1, 0), (0, -4, 4, 2, -2, 0), (0, -4, -4, 4, 4, 0), (0, -4, 4, 8, -8, 24)),
        scale=24,
    ),
}
"""Interpolated at 0, 1, -1 (and 2, -2) and infinity (Lavin and Gray, Fast Algorithms for Convolutional Neural Networks,
2016)."""


@dataclass(frozen=True)
class Int8WinogradCode:
    """What the text depends on. `pixels` tiles by `blocks` blocks of output channels are in registers; `groups` times
    as many tiles are transformed, multiplied and transformed back at a time: a chunk. `offset` is added to inputs.
    """

    entry: str
    batch: int
    channels: int
    outputs: int
    source: tuple[int, int]  # rows, columns
    result: tuple[int, int]
    pads: tuple[int, int]  # above, on the left
    tile: int
    blocks: int
    groups: int
    epilogue: Expression
    zero: int
    offset: int
    dtype: str
    further: str | None = None
    is_large: bool = False

    @property
    def lanes(self) -> int:
        """Channels of a block."""
        return QUAD

    @property
    def transform(self) -> IntegerTransform:
        return TRANSFORMS[self.tile]

    @property
    def points(self) -> int:
        """Products of an input and a filter tile, along one axis."""
        return self.tile + TAPS - 1

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of tiles in a picture."""
        return -(-self.result[0] // self.tile), -(-self.result[1] // self.tile)

    @property
    def tiles(self) -> int:
        """Tiles of the whole batch."""
        return self.batch * self.grid[0] * self.grid[1]

    @property
    def pixels(self) -> int:
        """Tiles of the largest register tile."""
        return most_tiles(self.blocks)

    @property
    def group_count(self) -> int:
        """Register tiles that all tiles are divided into, as evenly as it goes."""
        return -(-self.tiles // self.pixels)

    @cached_property
    def heights(self) -> tuple[int, ...]:
        """Tiles of the register tiles: one number, or two that are neighbours."""
        least, larger = divmod(self.tiles, self.group_count)
        return (least, least + 1) if larger else (least,)

    @cached_property
    def widths(self) -> tuple[int, ...]:
        """Blocks of output channels of the register tiles: `blocks`, and what is left of all."""
        whole = (self.blocks,) if self.out_blocks >= self.blocks else ()
        rest = self.out_blocks % self.blocks
        return (*whole, rest) if rest else whole

    @property
    def chunk_tiles(self) -> int:
        """Tiles of the largest chunk."""
        return min(self.tiles, self.groups * max(self.heights))

    @property
    def in_blocks(self) -> int:
        return -(-self.channels // QUAD)

    @property
    def out_blocks(self) -> int:
        return -(-self.outputs // QUAD)

    @property
    def input_stride(self) -> int:
        """Elements from the transformed inputs of one product to those of the next."""
        return _spread(self.in_blocks * self.chunk_tiles * QUAD * ELEMENT_BYTES) // ELEMENT_BYTES

    @property
    def product_stride(self) -> int:
        """Elements from the products of one point of a tile to those of the next."""
        return _spread(self.out_blocks * self.chunk_tiles * QUAD * SUM_BYTES) // SUM_BYTES

    @property
    def input_bytes(self) -> int:
        """Of the transformed inputs of a chunk."""
        return self.points**2 * self.input_stride * ELEMENT_BYTES

    @property
    def workspace_bytes(self) -> int:
        """Of one thread."""
        return self.input_bytes + self.points**2 * self.product_stride * SUM_BYTES

    @property
    def panel(self) -> int:
        """Elements of the weights of one product of one block of output channels."""
        return self.in_blocks * QUAD * QUAD

    @property
    def weights_bytes(self) -> int:
        """Of the packed weights, behind which starts and factors lie."""
        return self.points**2 * self.out_blocks * self.panel * ELEMENT_BYTES


def _spread(size_bytes: int) -> int:
    """An odd number of cache lines: the planes of a tile lie in different sets."""
    return (-(-size_bytes // LINE_BYTES) | 1) * LINE_BYTES


def most_tiles(blocks: int) -> int:
    """Of a register tile: their inputs, four weights of each block and the sums take 32 registers."""
    return min(MOST_TILES, (32 - QUAD * blocks) // (blocks + 1))


def is_exact(weights: Sequence[Array], tile: int) -> bool:
    """Whether sums of products with these weights (out, in, 3, 3) survive the division of F(tile x tile)."""
    magnitudes = np.abs(np.asarray(weights[0], dtype=np.int64)).reshape(weights[0].shape[0], -1).sum(axis=1)
    largest = MOST_INPUT * int(magnitudes.max(initial=0))
    return largest < 1 << (WORD_BITS - 1 - TRANSFORMS[tile].shift)


def pack_int8_winograd(weights: Sequence[Array], code: Int8WinogradCode) -> FloatArray:
    """Filters as 16-bit [row and column of the product][tile of blocks][block of inputs][input][blocks][lanes], then
    what sums begin with and factors, of whole blocks.
    """
    matrix = np.array(code.transform.filters, dtype=np.int64)
    filters = np.einsum("ar,oirc,bc->aboi", matrix, np.asarray(weights[0], dtype=np.int64), matrix)
    values = np.zeros((code.points**2, code.out_blocks * QUAD, code.in_blocks * QUAD), dtype="<i2")
    values[:, : code.outputs, : code.channels] = filters.reshape(-1, code.outputs, code.channels)
    parts: list[NDArray[np.int16]] = []
    for first in range(0, code.out_blocks, code.blocks):
        blocks = min(code.blocks, code.out_blocks - first)
        part = values[:, first * QUAD : (first + blocks) * QUAD].reshape(
            -1, blocks, QUAD, code.in_blocks * QUAD
        )
        parts.append(part.transpose(0, 3, 1, 2).reshape(len(part), -1))
    packed = np.ascontiguousarray(np.concatenate(parts, axis=1)).reshape(-1).view(np.float32)
    return np.concatenate(
        [packed, *starts_and_factors(weights, code.out_blocks * QUAD, code.zero + code.offset)]
    )
