"""The pattern of sparse weights as kernels walk it: what is not zero, row by row, in the order in which it is read."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from codegen.engines.cpu.source import round_up
from codegen.sparsity import QUAD, SIXTEEN, Sparsity, blocks_of
from codegen.tensor import FloatArray

ROWS = (1, QUAD, SIXTEEN)  # outputs that share an entry
ROW_INSTRUCTIONS = 20.0  # a loop of unforeseen length ends
ENTRY_WORDS = 1  # beside an entry's weights: where its operand lies
ROW_WORDS = 2  # of a row: its number, and how many entries it has
Words = NDArray[np.int32]


@dataclass(frozen=True)
class Walk:
    """How a pattern is cut: rows of so many outputs, so many operands at a time, rows dealt out to so many lists.

    `operand_bytes`: from one operand in memory to the next.
    """

    outputs: int
    depth: int
    rows: int
    block: int
    lists: int
    operand_bytes: int

    @property
    def row_count(self) -> int:
        return -(-self.outputs // self.rows)

    @property
    def blocks(self) -> int:
        """How often all rows are walked, each time along `block` operands."""
        return -(-self.depth // self.block)

    @property
    def head_words(self) -> int:
        """The biases of whole rows, then where each list begins."""
        return self.row_count * self.rows + self.lists

    def bytes_for(self, entries: int) -> int:
        """Bytes of the packed form of so many entries."""
        rows = self.blocks * (self.row_count * ROW_WORDS + self.lists)
        return 4 * (self.head_words + rows + entries * (ENTRY_WORDS + self.rows))


def entries_of(sparsity: Sparsity, rows: int) -> int:
    """Entries of so many outputs each that weights of that sparsity make."""
    return {1: sparsity.weights, QUAD: sparsity.quads, SIXTEEN: sparsity.sixteens}[rows]


def pack_walk(matrix: FloatArray, bias: FloatArray, walk: Walk) -> FloatArray:
    """[bias of whole rows][where each list begins][lists], a list being for each block of operands
    [rows][number of a row, its entries]...[entries], an entry [bytes to its operand][a weight for each output].

    Where an operand lies counts from the first of its block. Rows of a list stand in the order of their entries, the
    most first, so that loops over entries end alike one after another.
    """
    padded = np.zeros((walk.row_count * walk.rows, walk.depth), dtype=np.float32)
    padded[: walk.outputs] = matrix
    pattern = blocks_of(padded != 0, walk.rows)
    rows = np.argsort(-pattern.sum(axis=1), kind="stable")
    lists = [_list(padded, pattern, rows[number :: walk.lists], walk) for number in range(walk.lists)]
    starts = np.cumsum([walk.head_words, *(one.size for one in lists[:-1])], dtype=np.int32)
    biases = np.zeros(padded.shape[0], dtype=np.float32)
    biases[: walk.outputs] = bias
    return np.concatenate([biases.view(np.int32), starts, *lists]).view(np.float32)


def _list(padded: FloatArray, pattern: NDArray[np.bool_], rows: NDArray[np.intp], walk: Walk) -> Words:
    parts: list[Words] = []
    by_rows = padded.reshape(walk.row_count, walk.rows, walk.depth)
    for first in range(0, walk.depth, walk.block):
        own = pattern[:, first : first + walk.block]
        counts = own.sum(axis=1)
        ordered = rows[np.argsort(-counts[rows], kind="stable")]
        places = np.nonzero(own[ordered])
        entries = np.empty((places[0].size, ENTRY_WORDS + walk.rows), dtype=np.int32)
        entries[:, 0] = places[1] * walk.operand_bytes
        entries[:, ENTRY_WORDS:] = by_rows[ordered[places[0]], :, first + places[1]].view(np.int32)
        heads = np.stack([ordered, counts[ordered]], axis=1).astype(np.int32)
        parts += [np.array([rows.size], dtype=np.int32), heads.reshape(-1), entries.reshape(-1)]
    return np.concatenate(parts)


def tile_bytes(operands: int, pixels: int) -> int:
    """Bytes of so many operands of a tile of pixels, whole cache lines."""
    return round_up(4 * operands * pixels, 64)
