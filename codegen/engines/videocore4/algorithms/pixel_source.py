"""Where kernels gather the channels of a pixel: in a tensor's blocks, or in a copy that has lines of a pixel."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from codegen.engines.videocore4.algorithms.geometry import Geometry
from codegen.engines.videocore4.kernels.channels_last import channels_last_kernel
from codegen.engines.videocore4.kernels.expand_form import Vector
from codegen.engines.videocore4.kernels.pieces import dma_store_rows, dma_store_stride
from codegen.engines.videocore4.kernels.row_pieces import PIECE_WORDS
from codegen.engines.videocore4.layer import Address, QpuLayer, Uniform
from codegen.engines.videocore4.layout import LANES, LINE_BYTES
from codegen.program import WORD_BYTES
from codegen.schedule import Work
from codegen.target import Target


@dataclass(frozen=True)
class PixelSource:
    """Where the kernel gathers input pixels: in the input, or a copy that has lines of a pixel's channels."""

    expansion: Geometry
    vectors: tuple[Vector, ...]
    copied: bool

    def pixel_bytes(self, pixels: NDArray[np.int64]) -> NDArray[np.int64]:
        """Where pixels begin."""
        if self.copied:
            return pixels * LINE_BYTES * len(self.vectors)
        block, inside = np.divmod(pixels, LANES)
        found: NDArray[np.int64] = block * self.expansion.input_block_bytes + WORD_BYTES * inside
        return found

    def of_vector(self, number: int, pixel: int) -> Address:
        """Where a band's places count from: its first pixel's block."""
        at = int(self.pixel_bytes(np.array(pixel // LANES * LANES)))
        return Address("scratch", at + LINE_BYTES * number) if self.copied else Address("input", at)

    def lane_bytes(self, vector: Vector) -> NDArray[np.uint32]:
        """Of the channels that lanes gather."""
        channels = [vector.channel(lane) for lane in range(LANES)]
        if self.copied:
            return np.array([WORD_BYTES * (channel - vector.first) for channel in channels], np.uint32)
        return np.array([LINE_BYTES * channel for channel in channels], np.uint32)

    @property
    def copy_bytes(self) -> int:
        """Of an image."""
        return self.expansion.input_blocks * LANES * LINE_BYTES * len(self.vectors)

    def copy(self, target: Target, images: int) -> QpuLayer:
        """The phase that writes it: tiles of two runs of channels, of one block or two."""
        together = 2 // len(self.vectors)
        tiles = []
        last_block = self.expansion.input_blocks * images - 1  # which may come twice
        for block in range(0, last_block + 1, together):
            words: list[Uniform] = []
            own_blocks = [min(block + i, last_block) for i in range(together)]
            runs = [(number, v) for number in own_blocks for v in range(len(self.vectors))]
            for number, v in runs:
                at = number * self.expansion.input_block_bytes + LINE_BYTES * self.vectors[v].first
                words.append(Address("input", at))
            for row, (number, v) in enumerate(runs):
                count, line = self.vectors[v].channels, LINE_BYTES * len(self.vectors)
                words += [
                    dma_store_rows(LANES * row, LANES, count),
                    dma_store_stride(line - WORD_BYTES * count),
                    Address("scratch", LANES * line * number + LINE_BYTES * v),
                    *(0,) * PIECE_WORDS,
                ]
            tiles.append(words)
        blocks = []
        for q in range(target.qpus):
            own = tiles[q :: target.qpus]
            last = len(own) - 1
            blocks.append(
                tuple(word for i, tile in enumerate(own) for word in (*tile, int(i < last))) or None
            )
        channels = tuple(vector.channels for vector in self.vectors) * together
        return QpuLayer(channels_last_kernel(channels).words, np.zeros(0, np.uint32), tuple(blocks))

    def copying(self) -> Work:
        """The work of that phase for an image."""
        runs = self.expansion.input_blocks * len(self.vectors)
        lines = self.expansion.input_blocks * self.expansion.input_channels
        return Work(
            macs=0.0,
            alu_instructions=4.0 * lines + 30.0 * runs,
            load_instructions=float(lines),
            uniform_words=8.0 * runs,
            store_instructions=float(LANES * runs),
            dma_stores=float(runs),
            streamed_bytes_read=float(lines * LINE_BYTES),
            bytes_written=float(lines * LINE_BYTES),
        )
