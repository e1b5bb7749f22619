"""What a Winograd convolution depends on, where its parts lie in memory, and its packed weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from codegen.engines.cpu.blocked.tile_products import ProductCode
from codegen.engines.cpu.blocked.vectors import NEON_LANES
from codegen.engines.cpu.blocked.winograd_transform import POINTS
from codegen.engines.cpu.gemm_tile import matrix_and_bias
from codegen.engines.cpu.machine import FLOAT_BYTES, OrderedForm
from codegen.engines.cpu.threads import LINE
from codegen.expression import RESULT, Expression
from codegen.tensor import FloatArray
from codegen.winograd import TAPS, transformed_filters

LIMITS = 32, 128  # of partial sums: the transform back magnifies their rounding


@dataclass(frozen=True)
class WinogradCode:
    """What the text depends on. `pixels` tiles by `blocks` blocks of output channels are in registers; `groups` times
    as many tiles are transformed, multiplied and transformed back at a time: a chunk. `by_element`: on AArch64 products
    are in assembly (`scheduled_tile`), elsewhere this text too is C; with `ordered` they are on 32-bit ARM.
    `by_point`: of a chunk the products of one point with all output channels come before those of the next point, and
    the weights of a point are neighbours: a core with small caches reads transformed inputs once.
    """

    entry: str
    batch: int
    channels: int
    outputs: int
    source: tuple[int, int]  # rows, columns
    result: tuple[int, int]
    pads: tuple[int, int]  # above, on the left
    lanes: int
    tile: int
    pixels: int
    blocks: int
    groups: int
    epilogue: Expression = RESULT
    by_element: bool = False
    by_point: bool = False
    ordered: OrderedForm = ""

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
    def group_count(self) -> int:
        """Register tiles that all tiles are divided into, as evenly as it goes."""
        return -(-self.tiles // self.pixels)

    @property
    def chunk_groups(self) -> int:
        """Register tiles of the largest chunk."""
        return min(self.groups, self.group_count)

    @property
    def chunk_tiles(self) -> int:
        """Tiles of the largest chunk."""
        return min(self.tiles, self.groups * -(-self.tiles // self.group_count))

    @property
    def products(self) -> ProductCode:
        """Those of one point of transformed tiles."""
        return ProductCode(
            entry=self.entry,
            channels=self.channels,
            lanes=self.lanes,
            block=self.chunk_tiles * self.lanes,
            limits=LIMITS,
            by_element=self.by_element,
            ordered=self.ordered,
            fetching=self.chunk_groups if self.by_point else 0,
            # Cores with longer vectors fetch ahead by themselves, and these instructions cost them time.
            fetches_in_c=self.lanes <= NEON_LANES,
        )

    @property
    def in_blocks(self) -> int:
        return -(-self.channels // self.lanes)

    @property
    def out_blocks(self) -> int:
        return -(-self.outputs // self.lanes)

    @property
    def input_stride(self) -> int:
        """Elements from the transformed inputs of one product to those of the next."""
        return self._spread(self.in_blocks * self.chunk_tiles * self.lanes)

    @property
    def product_stride(self) -> int:
        """Elements from the products of one point of a tile to those of the next."""
        blocks = self.out_blocks if self.by_point else self.blocks
        return self._spread(blocks * self.chunk_tiles * self.lanes)

    def _spread(self, elements: int) -> int:
        """An odd number of cache lines: the planes of a tile lie in different sets."""
        return (-(-elements // LINE) | 1) * LINE

    @property
    def workspace_bytes(self) -> int:
        """Of one thread."""
        return FLOAT_BYTES * self.points**2 * (self.input_stride + self.product_stride)

    @property
    def block_weights(self) -> int:
        """Elements of the weights of one block of output channels."""
        return self.points**2 * self.channels * self.lanes

    @property
    def weights_size(self) -> int:
        """Elements of packed weights; the bias, of whole blocks, lies behind them."""
        return self.out_blocks * self.block_weights

    @cached_property
    def widths(self) -> tuple[int, ...]:
        """Blocks of output channels of the register tiles: `blocks`, and what is left of all."""
        whole = (self.blocks,) if self.out_blocks >= self.blocks else ()
        rest = self.out_blocks % self.blocks
        return (*whole, rest) if rest else whole

    @cached_property
    def heights(self) -> tuple[int, ...]:
        """Tiles of the register tiles: one number, or two that are neighbours."""
        least, larger = divmod(self.tiles, self.group_count)
        return (least, least + 1) if larger else (least,)

    @cached_property
    def cuts(self) -> tuple[tuple[int, int], ...]:
        """Rows and columns of outputs of a tile: whole ones first, then those at the lower and right border."""
        rows, columns = (
            sorted({min(self.tile, outputs), outputs % self.tile} - {0}, reverse=True)
            for outputs in self.result
        )
        return tuple((height, width) for height in rows for width in columns)


def pack_winograd(weights: Sequence[FloatArray], code: WinogradCode) -> FloatArray:
    """Filters as [tile of blocks][row and column of the product][input channel][blocks][lanes], then the bias; by point
    rows and columns of products come first.
    """
    matrix, bias = matrix_and_bias(weights)
    lanes, padded = code.lanes, code.out_blocks * code.lanes
    filters = matrix.reshape(code.outputs, code.channels, TAPS, TAPS)
    values = np.zeros((code.points**2, padded, code.channels), dtype=np.float32)
    values[:, : code.outputs] = transformed_filters(filters, code.tile, POINTS).reshape(
        -1, code.outputs, code.channels
    )
    parts = []
    for first in range(0, code.out_blocks, code.blocks):
        blocks = min(code.blocks, code.out_blocks - first)
        part = values[:, first * lanes : (first + blocks) * lanes]
        parts.append(part.transpose(0, 2, 1).reshape(len(part), -1))
    tail = np.zeros(padded, dtype=np.float32)
    tail[: code.outputs] = bias
    if code.by_point:
        return np.concatenate([np.concatenate(parts, axis=1).reshape(-1), tail])
    return np.concatenate([*(part.reshape(-1) for part in parts), tail])
