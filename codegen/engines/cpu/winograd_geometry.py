"""Tiles of a Winograd convolution, and how they are divided among the register tiles of its products."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from codegen.expression import Expression
from codegen.winograd import TAPS

LINE_BYTES = 64


@dataclass(frozen=True, kw_only=True)
class WinogradGeometry:
    """F(tile x tile, 3 x 3) of blocks of channels. `pixels` tiles by `blocks` blocks of output channels are in
    registers; `groups` times as many tiles are transformed, multiplied and transformed back at a time: a chunk.
    """

    entry: str
    batch: int
    channels: int
    outputs: int
    source: tuple[int, int]  # rows, columns
    result: tuple[int, int]
    pads: tuple[int, int]  # above, on the left
    lanes: int  # channels of a block
    tile: int
    pixels: int
    blocks: int
    groups: int
    epilogue: Expression

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
        return -(-self.channels // self.lanes)

    @property
    def out_blocks(self) -> int:
        return -(-self.outputs // self.lanes)


def spread_bytes(size_bytes: int) -> int:
    """An odd number of cache lines that holds so many bytes: planes at that distance lie in different sets."""
    return (-(-size_bytes // LINE_BYTES) | 1) * LINE_BYTES
