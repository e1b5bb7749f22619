"""The words by which kernels store rows of pixels of several channels: see the kernels' `row_pieces`."""

from __future__ import annotations

from codegen.engines.videocore4.algorithms.geometry import Geometry
from codegen.engines.videocore4.kernels.pieces import dma_store_rows, dma_store_stride
from codegen.engines.videocore4.kernels.row_pieces import PIECE_WORDS, PIECES
from codegen.engines.videocore4.layer import Address, Uniform
from codegen.engines.videocore4.layout import LANES, LINE_BYTES
from codegen.program import WORD_BYTES


def piece_words(
    geometry: Geometry, first: int, pixels: int, lane: int, channels: range, vpm_row: int, image: int = 0
) -> list[Uniform]:
    """Of so many of an image's pixels from the `first` on, which lie from that lane on in rows of the VPM; with no
    pixels nothing is stored.
    """
    block, inside = divmod(first, LANES)
    head = min(LANES - inside, pixels)
    words: list[Uniform] = []
    for at, column, start, count in (
        (block, inside, lane, head),
        (block + 1, 0, lane + head, pixels - head),
    ):
        if count:
            line = geometry.output_line_bytes(image * geometry.output_blocks + at, channels.start)
            words += [
                dma_store_rows(vpm_row, len(channels), count, start),
                dma_store_stride(LINE_BYTES - WORD_BYTES * count),
                Address("output", line + WORD_BYTES * column),
            ]
        else:
            words += [0] * PIECE_WORDS
    assert len(words) == PIECES * PIECE_WORDS
    return words
