"""Layers that are products of row-major matrices, and how their matrices lie in the order of tiles."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from codegen.engines.videocore4.algorithms.geometry import starts
from codegen.engines.videocore4.kernels.channel_lanes import VECTORS
from codegen.engines.videocore4.kernels.matrix_product import COLUMNS, ROWS
from codegen.engines.videocore4.kernels.pieces import MOST_STRIDE_BYTES
from codegen.engines.videocore4.kernels.rotated import STREAMED
from codegen.engines.videocore4.kernels.streamed import AHEAD_WORDS, ROWS_BEHIND
from codegen.engines.videocore4.layout import LANES, LINE_BYTES, block_lines
from codegen.engines.videocore4.memory import GPU_MEMORY
from codegen.expression import RESULT, Expression
from codegen.graph import LayerSpec
from codegen.operator import reads_further_tensor
from codegen.operators.contraction import Contraction
from codegen.operators.fully_connected import FullyConnected
from codegen.operators.rearrange import Rearrange
from codegen.places import NOWHERE
from codegen.program import WORD_BYTES
from codegen.tensor import Shape, TensorType

IN_PLACE, COPIED = SECONDS = "in_place", "copied"
MIXED, UNIFORMS = SCALARS = "mixed", "uniforms"
BEFORE, MEANWHILE = ORDERINGS = "before", "meanwhile"


@dataclass(frozen=True)
class Product:
    """`batches` products of (rows, summed) by (summed, columns). `first`: the number of the input that has the rows; no
    `second` where the other matrix is constant; `transposed`: it lies as (columns, summed).
    """

    batches: int
    rows: int
    summed: int
    columns: int
    first: int = 0
    second: int | None = None
    epilogue: Expression = RESULT
    transposed: bool = False

    @staticmethod
    @lru_cache(maxsize=128)
    def of(spec: LayerSpec) -> Product | None:
        """None where the layer is no such product, or one that tiles do not fill."""
        found = _of_constant(spec) if isinstance(spec.op, FullyConnected) else _of_two(spec)
        if found is None or found.rows < ROWS[0] or found.columns < COLUMNS or found.summed <= LANES:
            return None
        return found if found.gap_bytes <= MOST_STRIDE_BYTES else None

    @property
    def constant(self) -> bool:
        return self.second is None

    @property
    def depth(self) -> int:
        """Columns of the first matrix in the order of tiles, into which 16 are put at a time: with `summed` no multiple
        of that, the last 16 are the matrix' last ones, some of them once more.
        """
        return -(-self.summed // LANES) * LANES

    @property
    def seconds(self) -> tuple[str, ...]:
        """How the second matrix may be read: what it is multiplied by once more has zeros there."""
        return (COPIED,) if self.transposed or self.depth != self.summed else SECONDS

    def order(self) -> NDArray[np.int64]:
        """By row of the second matrix in that order its row, NOWHERE for zeros."""
        last = self.depth - LANES
        order = np.arange(self.depth)
        order[last:] += self.summed - self.depth
        return np.where((np.arange(self.depth) >= last) & (order < last), NOWHERE, order)

    @property
    def gap_bytes(self) -> int:
        """Between the end of a stored line and the next row's."""
        return WORD_BYTES * (self.columns - LANES)

    def stream_bytes(self, rows: int, scalars: str, ordering: str) -> int:
        """From the stream of one tile of so many rows to the next one's, no line of which is read ahead of it where it
        may not be there yet.
        """
        words = rows if scalars == UNIFORMS else STREAMED
        ahead = self._ahead_lines(rows, scalars) if ordering == MEANWHILE else 0
        return LINE_BYTES * block_lines(self.depth // LANES * words + ahead)

    def _ahead_lines(self, rows: int, scalars: str) -> int:
        return -(-AHEAD_WORDS * rows // LANES) if scalars == UNIFORMS else 1

    def vector_bytes(self, scalars: str) -> int:
        """The same of their vectors."""
        return 0 if scalars == UNIFORMS else LINE_BYTES * block_lines(self.depth // 2)

    def row_starts(self, rows: int) -> tuple[int, ...]:
        return starts(self.rows, rows)

    @property
    def column_starts(self) -> tuple[int, ...]:
        return starts(self.columns, COLUMNS)

    def first_bytes(self, rows: int, scalars: str, ordering: str) -> int:
        """Of the first matrix in the order of tiles of so many rows; what is read ahead of it is no other phase's."""
        tiles = self.batches * len(self.row_starts(rows))
        ahead = LINE_BYTES * self._ahead_lines(rows, scalars) if scalars == UNIFORMS else 0
        of_tile = self.stream_bytes(rows, scalars, ordering) + self.vector_bytes(scalars)
        return tiles * of_tile + ahead + GPU_MEMORY.guard_bytes

    def second_bytes(self) -> int:
        """Of the other one in the order of tiles of columns, in which its rows are neighbours: from tile to tile, with
        room for biases and for rows that are asked for and not used.
        """
        return LINE_BYTES * VECTORS * block_lines(1 + self.depth + ROWS_BEHIND)

    def copied(self, spec: LayerSpec, tiles: int) -> LayerSpec:
        """What puts so many tiles of the second matrix, from the first one's on, into that order: [tile][row][32
        columns]. Rows that fill up the distance to the next tile are the last one.
        """
        assert self.second is not None
        rows = self.second_bytes() // (WORD_BYTES * COLUMNS)
        row, column = (1, self.summed) if self.transposed else (self.columns, 1)
        order = np.pad(self.order(), (0, rows - self.depth), "edge")
        matrices = range(0, self.batches * self.summed * self.columns, self.summed * self.columns)
        starts = [matrix + column * start for matrix in matrices for start in self.column_starts]
        op = Rearrange(
            (1, tiles, rows, COLUMNS),
            (0, 0, 0, column),
            0,
            (
                (),
                tuple(starts[:tiles]),
                tuple(np.where(order == NOWHERE, NOWHERE, row * order).tolist()),
                (),
            ),
        )
        return LayerSpec(op, (spec.inputs[self.second],), (TensorType(op.shape),))


def _of_constant(spec: LayerSpec) -> Product | None:
    op = spec.op
    assert isinstance(op, FullyConnected)
    if reads_further_tensor(op):
        return None
    rows, summed = spec.inputs[0].shape
    return Product(1, rows, summed, spec.output.shape[1], epilogue=op.epilogue)


def _of_two(spec: LayerSpec) -> Product | None:
    """Of tensors whose last axes are the matrices'. Where the second has no axes but these, the first's are rows."""
    op = spec.op
    if not isinstance(op, Contraction) or len(spec.inputs) != 2 or len(op.result) < 2:
        return None
    for first, second in ((0, 1), (1, 0)):
        one, other = op.terms[first], op.terms[second]
        if len(one) < 2 or len(other) < 2:
            continue
        summed, outer = one[-1], one[:-2]
        transposed = other[-1] == summed
        inner, column = (other[-1], other[-2]) if transposed else (other[-2], other[-1])
        if len({*one, *other}) != len(outer) + 3 or inner != summed or one[:-1] + column != op.result:
            continue
        shape: Shape = spec.inputs[first].shape
        columns = spec.inputs[second].shape[-2 if transposed else -1]
        batches, rows = int(np.prod(shape[:-2], dtype=np.int64)), shape[-2]
        if other[:-2] and other[:-2] != outer:
            continue
        if not other[:-2]:
            batches, rows = 1, batches * rows
        return Product(batches, rows, shape[-1], columns, first, second, transposed=transposed)
    return None
