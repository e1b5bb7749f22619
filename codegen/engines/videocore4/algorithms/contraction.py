"""Products of two activations summed over common axes: matrices, batches of them, and Einstein's sums."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from codegen.algorithm_base import AlgorithmBase
from codegen.engines.videocore4.algorithms.gathered_lines import Offsets, lines_touched
from codegen.engines.videocore4.algorithms.geometry import busiest_share, dealt, starts
from codegen.engines.videocore4.kernels.contraction import (
    HEAD_WORDS,
    TILE_WORDS,
    ahead_of,
    contraction_kernel,
    requests,
)
from codegen.engines.videocore4.kernels.pieces import MOST_STRIDE_BYTES, dma_store_rows, dma_store_stride
from codegen.engines.videocore4.layer import Address, QpuLayer, Uniform
from codegen.engines.videocore4.layout import LANES, LINE_BYTES
from codegen.errors import ScheduleError
from codegen.graph import LayerSpec
from codegen.operators.contraction import Contraction, letter_sizes
from codegen.program import WORD_BYTES
from codegen.schedule import Axis, Choice, Point, Space, Work, values
from codegen.target import Target
from codegen.tensor import FloatArray, Shape

ROWS = 1, 2, 4, 8
UNROLLS = 1, 2, 4
MOST_TILES = 1 << 16
MOST_STEPS = 1 << 14  # of a sum: additions truncate, and of so many terms are still right to 1e-3


class _Tensor(NamedTuple):
    """Where a tensor's elements are: bytes from element to element of each letter."""

    number: int
    strides: dict[str, int]

    def along(self, letters: Sequence[str], sizes: dict[str, int]) -> Offsets:
        """Byte offsets of all elements along some letters, in order."""
        found = np.zeros(1, np.int64)
        for letter in letters:
            found = (found[:, None] + self.strides.get(letter, 0) * np.arange(sizes[letter])).reshape(-1)
        return found


@dataclass(frozen=True, eq=False)
class _Product:
    """The result as [outer][rows][lanes]: the lanes' letters are the last ones, the rows' letter stands before.

    `first` is the tensor whose elements differ from row to row; where the second's do not, they are shared.
    """

    first: _Tensor
    second: _Tensor
    sizes: dict[str, int]
    outer: tuple[str, ...]
    row: str | None
    lanes: tuple[str, ...]
    summed: tuple[str, ...]

    @property
    def shared(self) -> bool:
        return self.row is None or not self.second.strides.get(self.row, 0)

    @property
    def rows(self) -> int:
        return 1 if self.row is None else self.sizes[self.row]

    @property
    def lane_count(self) -> int:
        return self.count(self.lanes)

    @property
    def steps(self) -> int:
        return self.count(self.summed)

    @property
    def lane_starts(self) -> tuple[int, ...]:
        return starts(self.lane_count, LANES) if self.lane_count >= LANES else (0,)

    def tiles(self, rows: int) -> int:
        return self.count(self.outer) * len(starts(self.rows, rows)) * len(self.lane_starts)

    def count(self, letters: Sequence[str]) -> int:
        return math.prod(self.sizes[letter] for letter in letters)


def _strides(term: str, shape: Shape) -> dict[str, int]:
    """A letter that stands twice goes along the diagonal."""
    found: dict[str, int] = {}
    for axis, letter in enumerate(term):
        found[letter] = found.get(letter, 0) + WORD_BYTES * math.prod(shape[axis + 1 :])
    return found


@lru_cache(maxsize=128)
def _product(spec: LayerSpec) -> _Product:
    op = spec.op
    assert isinstance(op, Contraction)
    sizes = letter_sizes(op, spec.inputs)
    letters = list(op.result)
    lanes: list[str] = []
    while letters and math.prod(sizes[letter] for letter in lanes) < LANES:
        lanes.insert(0, letters.pop())
    row = letters.pop() if letters else None
    tensors = [
        _Tensor(number, _strides(term, tensor.shape))
        for number, (term, tensor) in enumerate(zip(op.terms, spec.inputs, strict=True))
    ]
    if row is not None and not tensors[0].strides.get(row, 0):
        tensors.reverse()
    summed = tuple(letter for letter in sizes if letter not in op.result)
    return _Product(tensors[0], tensors[1], sizes, tuple(letters), row, tuple(lanes), summed)


class QpuContraction(AlgorithmBase):
    """Sums of products of two tensors: 16 lanes by `rows` results in registers, elements are gathered step by step.

    Axes:
        rows: lines of 16 results in registers at once
        unroll: products of a turn of the inner loop
    """

    name = "qpu_contraction"
    engine: str = "videocore4"

    def computes(self, spec: LayerSpec, target: Target) -> bool:
        if not (isinstance(spec.op, Contraction) and len(spec.inputs) == 2 and target.has_qpus):
            return False
        if not spec.output.elements or not all(tensor.elements for tensor in spec.inputs):
            return False
        product = _product(spec)
        return product.tiles(max(ROWS)) <= MOST_TILES and product.steps <= MOST_STEPS

    def space(self, spec: LayerSpec, target: Target) -> Space:
        product = _product(spec)
        rows = tuple(rows for rows in ROWS if rows <= product.rows and self._fits(product, rows))
        unrolls = tuple(unroll for unroll in UNROLLS if product.steps % unroll == 0)
        return Space((Axis("rows", rows), Axis("unroll", unrolls)))

    @staticmethod
    def _fits(product: _Product, rows: int) -> bool:
        gap = WORD_BYTES * (product.lane_count - min(LANES, product.lane_count))
        return rows == 1 or gap <= MOST_STRIDE_BYTES

    def choice_at(self, spec: LayerSpec, target: Target, point: Point) -> Choice:
        contraction_kernel(
            point["rows"], point["unroll"], _product(spec).shared
        )  # refuses what has no registers
        return Choice(
            engine=self.engine,
            algorithm=self.name,
            split=values({}),
            tile=values(point),
            input_layouts=("nchw", "nchw"),
            output_layouts=("nchw",),
        )

    def work(self, spec: LayerSpec, target: Target, choice: Choice) -> Work:
        product, rows, unroll = _product(spec), choice.tiles["rows"], choice.tiles["unroll"]
        tiles = product.tiles(rows)
        reads = len(requests(rows, product.shared))
        steps = tiles * product.steps
        first, second = (
            lines_touched(tensor.along(product.lanes, product.sizes)[:LANES])
            for tensor in (product.first, product.second)
        )
        touched = rows * first + (reads - rows) * second
        return Work(
            macs=float(spec.macs),
            alu_instructions=steps * (reads + rows - 0.5 + 3.0 / unroll) + tiles * (35.0 + 2.0 * rows),
            load_instructions=float(steps * reads + 2 * tiles),
            uniform_words=float(2 * steps + tiles * TILE_WORDS),
            store_instructions=float(tiles * rows),
            dma_stores=float(tiles),
            unique_bytes_read=float(sum(tensor.size_bytes for tensor in spec.inputs)),
            streamed_bytes_read=float(LINE_BYTES * steps * touched),
            bytes_written=float(spec.output.size_bytes),
            balance=busiest_share(dealt(tiles, target.qpus)),
            working_set_bytes=float(LINE_BYTES * (rows + product.steps) * target.qpus),
        )

    def lower(
        self,
        spec: LayerSpec,
        target: Target,
        choice: Choice,
        weights: Sequence[FloatArray],
        *,
        output_lines: int | None = None,
    ) -> QpuLayer:
        if not isinstance(spec.op, Contraction):
            raise ScheduleError(f"{self.name} does not compute {spec.op}")
        if output_lines is not None:
            raise ScheduleError(f"{self.name} writes nchw, which has no blocks of {output_lines} lines")
        product, rows, unroll = _product(spec), choice.tiles["rows"], choice.tiles["unroll"]
        tensors = product.first, product.second
        lines: dict[bytes, int] = {}
        tiles = list(_tiles(product, rows, lines))
        lanes = np.frombuffer(b"".join(lines), np.uint32)
        offsets = [tensor.along(product.summed, product.sizes) for tensor in reversed(tensors)]
        more = ahead_of(unroll * len(requests(rows, product.shared)))
        stream = np.pad(np.stack(offsets, axis=1), ((0, more), (0, 0)), "edge").astype(np.uint32).reshape(-1)
        packed = np.concatenate([lanes, np.pad(stream, (0, -len(stream) % LANES))])
        words = min(LANES, product.lane_count)
        pitches = [tensor.strides.get(product.row or "", 0) for tensor in tensors]
        gap = WORD_BYTES * (product.lane_count - words) if rows > 1 else 0

        def block(own: Sequence[tuple[Uniform, ...]]) -> tuple[Uniform, ...] | None:
            if not own:
                return None
            head = (
                Address("block", WORD_BYTES * HEAD_WORDS),
                len(own),
                Address("weights", WORD_BYTES * len(lanes)),
                product.steps // unroll,
                *pitches,
                dma_store_stride(gap),
                dma_store_rows(0, rows, words),
            )
            return (*head, *(word for tile in own for word in tile))

        return QpuLayer(
            contraction_kernel(rows, unroll, product.shared).words,
            packed,
            tuple(block(tiles[q :: target.qpus]) for q in range(target.qpus)),
        )


def _tiles(product: _Product, rows: int, lines: dict[bytes, int]) -> list[tuple[Uniform, ...]]:
    """The words of each tile; `lines` gets the lanes' offsets, each once, with their bytes in the weights."""
    tensors = product.first, product.second
    outer = [tensor.along(product.outer, product.sizes) for tensor in tensors]
    lanes = [tensor.along(product.lanes, product.sizes) for tensor in tensors]
    pitches = [tensor.strides.get(product.row or "", 0) for tensor in tensors]
    found = []
    for number in range(len(outer[0])):
        for row in starts(product.rows, rows):
            for lane in product.lane_starts:
                words: list[Uniform] = []
                for index, tensor in enumerate(tensors):
                    own = lanes[index][lane : lane + LANES]
                    line = np.pad(own - own[0], (0, LANES - len(own)), "edge").astype(np.uint32).tobytes()
                    pattern = lines.setdefault(line, LINE_BYTES * len(lines))
                    start = int(outer[index][number]) + row * pitches[index] + int(own[0])
                    words += [Address("weights", pattern), Address("input", start, tensor.number)]
                place = (number * product.rows + row) * product.lane_count + lane
                words.append(Address("output", WORD_BYTES * place))
                found.append(tuple(words))
    return found
