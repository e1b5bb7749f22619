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
HEAD_WORDS = 2  # of a block of a list: how many rows it has, and nothing
ENTRIES_BEHIND = 4  # the last of a block, which are none: what kernels read ahead
Words = NDArray[np.int32]


@dataclass(frozen=True)
class Places:
    """Where the operands of a tile lie: elements from one operand to the next, and from one vector of its pixels to
    the next; what `count` pixels leave of their last vector is never used.
    """

    operand: int
    vector: int


@dataclass(frozen=True)
class Walk:
    """How a pattern is cut: rows of so many outputs, so many operands at a time, rows dealt out to so many lists.

    `operand_bytes`: from one operand in memory to the next. `in_order`: rows are walked as their outputs lie.
    """

    outputs: int
    depth: int
    rows: int
    block: int
    lists: int
    operand_bytes: int
    in_order: bool = False

    @property
    def row_count(self) -> int:
        return -(-self.outputs // self.rows)

    @property
    def blocks(self) -> int:
        """How often all rows are walked, each time along `block` operands."""
        return -(-self.depth // self.block)

    @property
    def head_words(self) -> int:
        """The biases of whole rows, then where each list begins; an even number."""
        return round_up(self.row_count * self.rows + self.lists, 2)

    def bytes_for(self, entries: int) -> int:
        """Bytes of the packed form of so many entries."""
        entry = ENTRY_WORDS + self.rows
        rows = self.blocks * (self.row_count * ROW_WORDS + self.lists * (HEAD_WORDS + ENTRIES_BEHIND * entry))
        return 4 * (self.head_words + rows + entries * entry)


def entries_of(sparsity: Sparsity, rows: int) -> int:
    """Entries of so many outputs each that weights of that sparsity make."""
    return {1: sparsity.weights, QUAD: sparsity.quads, SIXTEEN: sparsity.sixteens}[rows]


def pack_walk(matrix: FloatArray, bias: FloatArray, walk: Walk) -> FloatArray:
    """[bias of whole rows][where each list begins][lists], a list being for each block of operands
    [rows, 0][number of a row, its entries]...[entries], an entry [bytes to its operand][a weight for each output].
    Behind the last entry of a block there are `ENTRIES_BEHIND` of zeros.

    Where an operand lies counts from the first of its block. Rows of a list stand in the order of their entries, the
    most first, so that loops over entries end alike one after another; or in that of their outputs.
    """
    padded = np.zeros((walk.row_count * walk.rows, walk.depth), dtype=np.float32)
    padded[: walk.outputs] = matrix
    pattern = blocks_of(padded != 0, walk.rows)
    rows = _ordered(np.arange(walk.row_count), pattern.sum(axis=1), walk)
    lists = [_list(padded, pattern, rows[number :: walk.lists], walk) for number in range(walk.lists)]
    starts = np.cumsum([walk.head_words, *(one.size for one in lists[:-1])], dtype=np.int32)
    biases = np.zeros(padded.shape[0], dtype=np.float32)
    biases[: walk.outputs] = bias
    behind = np.zeros(walk.head_words - biases.size - starts.size, dtype=np.int32)
    return np.concatenate([biases.view(np.int32), starts, behind, *lists]).view(np.float32)


def _list(padded: FloatArray, pattern: NDArray[np.bool_], rows: NDArray[np.intp], walk: Walk) -> Words:
    parts: list[Words] = []
    by_rows = padded.reshape(walk.row_count, walk.rows, walk.depth)
    for first in range(0, walk.depth, walk.block):
        own = pattern[:, first : first + walk.block]
        counts = own.sum(axis=1)
        ordered = _ordered(rows, counts, walk)
        places = np.nonzero(own[ordered])
        count = places[0].size
        entries = np.zeros((count + ENTRIES_BEHIND, ENTRY_WORDS + walk.rows), dtype=np.int32)
        entries[:count, 0] = places[1] * walk.operand_bytes
        entries[:count, ENTRY_WORDS:] = by_rows[ordered[places[0]], :, first + places[1]].view(np.int32)
        heads = np.stack([ordered, counts[ordered]], axis=1).astype(np.int32)
        parts += [np.array([rows.size, 0], dtype=np.int32), heads.reshape(-1), entries.reshape(-1)]
    return np.concatenate(parts)


def _ordered(rows: NDArray[np.intp], counts: NDArray[np.int_], walk: Walk) -> NDArray[np.intp]:
    return rows if walk.in_order else rows[np.argsort(-counts[rows], kind="stable")]


def tile_bytes(operands: int, pixels: int) -> int:
    """Bytes of so many operands of a tile of pixels, whole cache lines."""
    return round_up(4 * operands * pixels, 64)
