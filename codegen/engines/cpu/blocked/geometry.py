"""Where the pixels and blocks of a convolution's tensors lie, and how a row of outputs is cut into tiles."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from itertools import pairwise

from codegen.windows import Window


@dataclass(frozen=True)
class Image:
    """One picture in memory, in elements: `pixel` to the next pixel of a row, `row` to the next row, `channel` to
    the next channel of a block of `lanes` of them, `block` to the next block.
    """

    lanes: int
    pixel: int
    channel: int
    row: int
    block: int

    @staticmethod
    def blocked(lanes: int, rows: int, width: int) -> Image:
        """Channel-blocked: `rows` of `width` pixels per block."""
        return Image(lanes, lanes, 1, width * lanes, rows * width * lanes)

    @staticmethod
    def row_major(channels: int, height: int, width: int) -> Image:
        """As ONNX has it: one block of all channels."""
        return Image(channels, 1, height * width, width, channels * height * width)


@dataclass(frozen=True)
class Tile:
    """`pixels` neighbouring outputs of a row from `first` on; of each the taps [first, end) that lie inside."""

    first: int
    taps: tuple[tuple[int, int], ...]

    @staticmethod
    def of(columns: Window, first: int, end: int) -> Tile:
        """The outputs [first, end) of a row."""
        return Tile(first, tuple(columns.clipped(output) for output in range(first, end)))

    @property
    def pixels(self) -> int:
        return len(self.taps)


@cache
def row_tiles(columns: Window, most: int) -> tuple[Tile, ...]:
    """A row cut into as few tiles of at most `most` pixels as there can be, as even as there can be."""
    count = -(-columns.outputs // most)
    edges = [columns.outputs * i // count for i in range(count + 1)]
    return tuple(Tile.of(columns, first, end) for first, end in pairwise(edges))
