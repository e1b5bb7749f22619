"""Products of row-major matrices, of two activations or with a constant, whose rows and columns fill tiles; of two
activations the second may be transposed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from codegen.algorithm_base import AlgorithmBase
from codegen.engines.videocore4.algorithms.arrangements import arrangement
from codegen.engines.videocore4.algorithms.channel_lanes import QpuTiles
from codegen.engines.videocore4.algorithms.gathered_lines import GatheredLines
from codegen.engines.videocore4.algorithms.gemm import NEIGHBOURS, at_a_time, in_turn
from codegen.engines.videocore4.algorithms.geometry import (
    bounds,
    busiest_share,
    dealt,
    divisors,
    tile_count,
)
from codegen.engines.videocore4.algorithms.matrices import (
    COPIED,
    IN_PLACE,
    MIXED,
    SCALARS,
    SECONDS,
    UNIFORMS,
    Product,
)
from codegen.engines.videocore4.algorithms.moves import work_of
from codegen.engines.videocore4.algorithms.phased import Buffer, both, in_scratch
from codegen.engines.videocore4.algorithms.words import float_words
from codegen.engines.videocore4.assembler import Assembler
from codegen.engines.videocore4.kernels import streamed
from codegen.engines.videocore4.kernels.channel_lanes import VECTORS
from codegen.engines.videocore4.kernels.matrix_product import (
    COLUMNS,
    COLUMNS_WORDS,
    HEAD_WORDS,
    ROWS,
    columns_kernel,
    first_offset,
    first_request,
    matrix_product_kernel,
    words_before,
    words_behind,
)
from codegen.engines.videocore4.kernels.pace import MOST_QPUS, Token
from codegen.engines.videocore4.kernels.pieces import dma_store_stride
from codegen.engines.videocore4.kernels.results import coded, epilogue_instructions
from codegen.engines.videocore4.kernels.rotated import STREAMED
from codegen.engines.videocore4.kernels.streamed import STREAMED_ROWS, UNROLLED, streamed_product_kernel
from codegen.engines.videocore4.layer import Address, QpuLayer, Uniform
from codegen.engines.videocore4.layout import LANES, LINE_BYTES
from codegen.engines.videocore4.memory import GPU_MEMORY
from codegen.errors import ScheduleError
from codegen.graph import LayerSpec
from codegen.operators.contraction import Contraction
from codegen.operators.fully_connected import FullyConnected
from codegen.places import NOWHERE
from codegen.program import WORD_BYTES
from codegen.schedule import Axis, AxisNames, Candidate, Choice, Phase, Point, Space, Work, values
from codegen.target import Target
from codegen.tensor import FloatArray

MOST_COPIED = 1 << 22  # elements, whose places a compiler keeps in memory while it arranges them
_COPY = 32, 4  # lines of the second matrix at a time, and groups of them
_CHUNK = 16  # times 16 columns that a QPU puts in order at a time
_INSTRUCTIONS_OF_TILE = 130  # its start, and its store beside the results


class _MatrixProduct(AlgorithmBase):
    """What both have in common.

    Axes:
        pixel_tiles: tiles of rows that QPUs compute at the same time; they share the columns among them
        neighbours: what the QPU of the next number computes at the same time: other columns of the same rows
            (channels), or other rows of the same columns (pixels)
        rows: rows of a tile
        scalars: where the first matrix' elements of a row of the second come from: 16 of them from uniforms and the
            others from the lanes of a vector, which takes instructions but hides the uniforms' way (mixed), or all
            from uniforms (uniforms)
    """

    name: str
    engine: str = "videocore4"
    axis_names: ClassVar[AxisNames] = {"neighbours": NEIGHBOURS, "scalars": SCALARS}
    _operator: ClassVar[type[Contraction | FullyConnected]]

    def computes(self, spec: LayerSpec, target: Target) -> bool:
        return target.has_qpus and isinstance(spec.op, self._operator) and Product.of(spec) is not None

    def space(self, spec: LayerSpec, target: Target) -> Space:
        product = _require(spec)
        axes = [
            Axis("pixel_tiles", divisors(target.qpus), "split"),
            Axis("neighbours", NEIGHBOURS, "split"),
            Axis("rows", tuple(rows for rows in sorted({*ROWS, *STREAMED_ROWS}) if rows <= product.rows)),
            Axis("scalars", SCALARS),
        ]
        if not product.constant:
            axes.append(Axis("second", product.seconds))
        return Space(tuple(axes))

    def choice_at(self, spec: LayerSpec, target: Target, point: Point) -> Choice:
        product = _require(spec)
        scalars = point.get("scalars", MIXED)
        _kernel(product, point["rows"], scalars, target)  # refuses what has no registers
        if scalars == UNIFORMS and point.get("second") == IN_PLACE:
            raise ScheduleError(f"{self.name}: uniforms alone want rows behind the second matrix: copy it")
        size = product.batches * product.summed * product.columns
        if point.get("second") == COPIED and size > MOST_COPIED:
            raise ScheduleError(f"{self.name}: a matrix of {size} elements is read where it lies")
        tile = {name: value for name, value in point.items() if name in ("rows", "second", "scalars")}
        return Choice(
            engine=self.engine,
            algorithm=self.name,
            split=values({axis: point[axis] for axis in ("pixel_tiles", "neighbours")}),
            tile=values(tile),
            input_layouts=("nchw",) * len(spec.inputs),
            output_layouts=("nchw",),
        )

    def work(self, spec: LayerSpec, target: Target, choice: Choice) -> Work:
        first, *others = (phase.work for phase in self.phases(spec, target, choice))
        return reduce(both, others, first)

    def phases(self, spec: LayerSpec, target: Target, choice: Choice) -> tuple[Phase, ...]:
        """The products, and the putting in order of the rows."""
        product = _require(spec)
        read = sum(tensor.size_bytes for tensor in (*spec.inputs, *spec.weights))
        return (
            Phase(Candidate(spec, choice), self._products(product, target, choice, read)),
            Phase(
                Candidate(spec, replace(choice, split=(), tile=())),
                self._ordering(product, spec, target, choice),
            ),
        )

    def _ordering(self, product: Product, spec: LayerSpec, target: Target, choice: Choice) -> Work:
        rows = choice.tiles["rows"]
        groups = product.batches * len(product.row_starts(rows)) * product.depth // LANES
        first = Work(
            macs=0.0,
            alu_instructions=groups * (4.0 * rows + 40),
            load_instructions=float(groups * rows),
            uniform_words=float(groups / _CHUNK * COLUMNS_WORDS),
            store_instructions=float(groups * 2 * LANES),
            dma_stores=2.0 * groups,
            streamed_bytes_read=float(LINE_BYTES * groups * rows),
            bytes_written=float(LINE_BYTES * groups * (LANES + LANES // 2)),
        )
        if choice.tiles.get("second") != COPIED:
            return first
        return both(first, work_of(_copying(product.copied(spec)), *_COPY, target, 0.0))

    def _products(self, product: Product, target: Target, choice: Choice, read: int) -> Work:
        rows, depth = choice.tiles["rows"], product.depth
        down, across = len(product.row_starts(rows)), tile_count(product.columns, COLUMNS)
        tiles = product.batches * down * across
        together, beside = at_a_time(target.qpus, choice, down, across)
        scalars = str(choice.tiles.get("scalars", MIXED))
        uniforms = scalars == UNIFORMS
        streamed_rows = rows if uniforms else STREAMED
        elements = WORD_BYTES * together * depth * (rows if uniforms else STREAMED + LANES // 2)
        lines = LINE_BYTES * beside * depth * VECTORS
        hiding = (VECTORS + 1) * (rows - streamed_rows) + VECTORS * 2 + (3 if uniforms else 2.5)
        results = VECTORS * rows
        return Work(
            macs=float(product.batches * product.rows * product.summed * product.columns),
            alu_instructions=tiles
            * (
                depth * (VECTORS * (streamed_rows - 2) + hiding)
                + results * (2 + epilogue_instructions(product.epilogue))
                + _INSTRUCTIONS_OF_TILE
            ),
            load_instructions=float(tiles * depth * (VECTORS + (1 / UNROLLED if uniforms else 0.5))),
            uniform_words=float(
                tiles * (depth * streamed_rows + _words_of_tile(product, scalars, _in_step(scalars, target)))
            ),
            hiding_instructions=hiding,
            store_instructions=float(tiles * results),
            dma_stores=float(tiles * VECTORS),
            unique_bytes_read=float(read),
            streamed_bytes_read=tiles / (together * beside) * float(elements + lines),
            bytes_written=float(WORD_BYTES * product.batches * product.rows * product.columns),
            balance=busiest_share(dealt(tiles, target.qpus)),
            working_set_bytes=float(elements + lines),
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
        if output_lines is not None:
            raise ScheduleError(f"{self.name} writes nchw, which has no blocks of {output_lines} lines")
        product, rows = _require(spec), choice.tiles["rows"]
        scalars = str(choice.tiles.get("scalars", MIXED))
        part = _Part(product, rows, scalars, _in_step(scalars, target), choice.tiles.get("second") == COPIED)
        order = in_turn(target.qpus, choice, len(product.row_starts(rows)), len(product.column_starts))
        blocks: list[list[tuple[int, int, int]]] = [[] for _ in range(target.qpus)]
        for batch in range(product.batches):
            for q, own in enumerate(order):  # begins where the last one has left QPUs with a tile less
                shifted = (q + batch * sum(map(len, order))) % target.qpus
                blocks[shifted] += [(batch, row, column) for row, column in own]
        together = min(map(len, blocks)) if part.in_step else 0
        first_bytes = scratch = product.first_bytes(rows, scalars)
        packed = np.zeros(LANES, np.uint32)
        if product.constant:
            packed = _packed(weights, product)
        if part.copied:
            scratch += product.second_bytes() * product.batches * len(product.column_starts)
            scratch += GPU_MEMORY.guard_bytes
        last = QpuLayer(
            _kernel(product, rows, scalars, target).words,
            packed,
            tuple(part.block(tiles, q, together) for q, tiles in enumerate(blocks)),
            scratch_bytes=scratch,
        )
        if part.copied:
            places: dict[Buffer, Address] = {
                ("input", 0): Address("input", 0, product.second or 0),
                ("output", 0): Address("scratch", first_bytes),
            }
            copying = in_scratch(_copying(product.copied(spec)).lower(*_COPY, target), places)
            last = replace(copying, then=last, scratch_bytes=scratch)
        chunks = list(part.chunks())
        return QpuLayer(
            columns_kernel(rows, scalars == UNIFORMS).words,
            np.zeros(LANES, np.uint32),
            tuple(_in_order(chunks[q :: target.qpus]) for q in range(target.qpus)),
            then=last,
            scratch_bytes=scratch,
        )


class QpuMatrixProduct(_MatrixProduct):
    """Products of two row-major matrices, or of batches of them: `rows` rows by 32 columns in registers, the first one
    put in order before.

    Axes:
        second: whether the second matrix is read where it lies (in_place) or put in order too (copied), as pays where
            its rows crowd few sets of the caches
    """

    name = "qpu_matrix_product"
    _operator = Contraction
    axis_names: ClassVar[AxisNames] = {**_MatrixProduct.axis_names, "second": SECONDS}


class QpuFullyConnectedRows(_MatrixProduct):
    """Many rows times a constant matrix: `rows` of them by 32 outputs in registers, put in order before."""

    name = "qpu_fully_connected_rows"
    _operator = FullyConnected

    def order_of_sums(self, spec: LayerSpec, choice: Choice) -> NDArray[np.intp]:
        """Input by input."""
        return np.arange(_require(spec).summed)


@dataclass(frozen=True)
class _Part:
    """Where a product's tiles lie."""

    product: Product
    rows: int
    scalars: str
    in_step: int  # how many QPUs keep in step, or 0
    copied: bool  # whether the second matrix is in the order of tiles, in the scratch

    @property
    def _pitch_bytes(self) -> int:
        """From row to row of the second matrix."""
        close = self.copied or self.product.constant
        return WORD_BYTES * (COLUMNS if close else self.product.columns)

    def gathers(self, qpu: int) -> bool:
        """Whether the others of its launch wait for it."""
        return self.in_step > 0 and qpu % self.in_step == 0

    @property
    def _row_starts(self) -> tuple[int, ...]:
        return self.product.row_starts(self.rows)

    def _stream(self, batch: int, row: int) -> int:
        """Bytes of the scratch at which a tile's stream begins."""
        of_tile = self.product.stream_bytes(self.rows, self.scalars)
        return of_tile * (batch * len(self._row_starts) + row)

    def _vectors(self, batch: int, row: int) -> int:
        product, tiles = self.product, len(self._row_starts)
        streams = product.batches * tiles * product.stream_bytes(self.rows, self.scalars)
        return streams + product.vector_bytes(self.scalars) * (batch * tiles + row)

    def _parts(self, batch: int, row: int, groups: int) -> list[Uniform]:
        """Where so many times 16 columns of a tile of rows behind its first go, as `columns_kernel` has them."""
        stream, line = self._stream(batch, row), LANES * groups
        if self.scalars == UNIFORMS:
            first = Address("scratch", stream + WORD_BYTES * self.rows * line)
            return [first, replace(first, offset_bytes=first.offset_bytes + LINE_BYTES)]
        vectors = self._vectors(batch, row) + LINE_BYTES // 2 * line
        return [Address("scratch", stream + LINE_BYTES * line), Address("scratch", vectors)]

    def chunks(self) -> Iterator[tuple[Uniform, ...]]:
        """The words of each tile of `columns_kernel`."""
        product = self.product
        pitch, whole = WORD_BYTES * product.summed, product.summed // LANES
        pieces = [
            (first, min(_CHUNK, whole - first), LINE_BYTES * first) for first in range(0, whole, _CHUNK)
        ]
        if product.depth != product.summed:
            pieces.append((whole, 1, pitch - LINE_BYTES))
        for first, groups, column_bytes in pieces:
            for batch in range(product.batches):
                for row, start in enumerate(self._row_starts):
                    yield (
                        Address(
                            "input", pitch * (batch * product.rows + start) + column_bytes, product.first
                        ),
                        pitch,
                        groups,
                        *self._parts(batch, row, first),
                    )

    def block(
        self, tiles: Sequence[tuple[int, int, int]], qpu: int, together: int
    ) -> tuple[Uniform, ...] | None:
        """Uniforms of a QPU with these tiles, as (batch, tile of rows, of columns), the first `together` of which all
        may begin in step.
        """
        if not tiles:
            return None
        product, uniforms = self.product, self.scalars == UNIFORMS
        clamp = bounds(product.epilogue) if product.constant else ()
        stride = dma_store_stride(product.gap_bytes)
        head = streamed.HEAD_WORDS if uniforms else HEAD_WORDS
        words: list[Uniform] = [Address("block", WORD_BYTES * head)]
        words += [2 * self._pitch_bytes] if uniforms else [len(tiles), stride, self._pitch_bytes]
        places = [(row, column) for _, row, column in tiles]
        own = QpuTiles(places, self.gathers(qpu), together)
        for number, (batch, row, column) in enumerate(tiles):
            words += [*self._lines(batch, column), *self._elements(batch, row, own, number), *clamp]
            words += [stride] if uniforms else []
            place = (batch * product.rows + self._row_starts[row]) * product.columns + product.column_starts[
                column
            ]
            words += [Address("output", WORD_BYTES * (place + LANES * p)) for p in range(VECTORS)]
            words += [int(number + 1 < len(tiles))] if uniforms else []
        assert len(words) == head + _words_of_tile(product, self.scalars, self.in_step) * len(tiles)
        return tuple(words)

    def _elements(self, batch: int, row: int, own: QpuTiles, number: int) -> list[Uniform]:
        """Where a tile's elements of the first matrix lie, the counter, and when the QPU begins its tile of that
        number.
        """
        depth, stream = self.product.depth, self._stream(batch, row)
        if self.scalars == UNIFORMS:
            ahead = stream + UNROLLED * WORD_BYTES * self.rows
            rest = self._pitch_bytes * own.channels_left(number, depth)
            counter = streamed.first_offset(depth, self._pitch_bytes) + rest
            pace = [own.takes(number), rest, own.gives(number) if rest else Token.NONE]
            return [
                counter,
                Address("scratch", ahead),
                *(pace if self.in_step else ()),
                Address("scratch", stream),
            ]
        counter = first_offset(depth, self._pitch_bytes)
        return [Address("scratch", self._vectors(batch, row)), counter, Address("scratch", stream)]

    def _lines(self, batch: int, column: int) -> list[Uniform]:
        """Where a tile's biases and rows of the second matrix lie."""
        product = self.product
        ahead = first_request(product.depth, self._pitch_bytes) if self.scalars == MIXED else 0
        tile = product.second_bytes() * (batch * len(product.column_starts) + column)
        pair = [LINE_BYTES * p for p in range(VECTORS)]
        if product.second is None:
            first = tile + LINE_BYTES * VECTORS + ahead  # behind the biases
            return [
                *(Address("weights", tile + x) for x in pair),
                *(Address("weights", first + x) for x in pair),
            ]
        if self.copied:
            return [
                Address("scratch", product.first_bytes(self.rows, self.scalars) + tile + ahead + x)
                for x in pair
            ]
        place = batch * product.summed * product.columns + product.column_starts[column]
        return [Address("input", WORD_BYTES * place + ahead + x, product.second) for x in pair]


def _packed(weights: Sequence[FloatArray], product: Product) -> NDArray[np.uint32]:
    """[tiles][biases, then a pair of lines for each input][2 vectors][16 outputs]."""
    matrix, bias = weights[:2]
    columns, order = product.column_starts, product.order()
    rows = product.second_bytes() // (WORD_BYTES * COLUMNS)
    lines = np.zeros((len(columns), rows, COLUMNS), np.float32)
    for number, start in enumerate(columns):
        lines[number, 0] = bias[start : start + COLUMNS]
        own = matrix[start : start + COLUMNS].T
        lines[number, 1 : product.depth + 1] = np.where((order == NOWHERE)[:, None], 0.0, own[order])
    return float_words(lines.reshape(-1))


def _copying(copied: LayerSpec) -> GatheredLines:
    return arrangement(copied, ("nchw", "nchw"))


def _in_order(chunks: Sequence[tuple[Uniform, ...]]) -> tuple[Uniform, ...] | None:
    """The block of a QPU of `columns_kernel`."""
    if not chunks:
        return None
    assert all(len(chunk) == COLUMNS_WORDS for chunk in chunks)
    return (Address("block", 2 * WORD_BYTES), len(chunks), *(word for chunk in chunks for word in chunk))


def _require(spec: LayerSpec) -> Product:
    """Raises ScheduleError where the layer is no product that tiles fill."""
    found = Product.of(spec)
    if found is None:
        raise ScheduleError(f"no product of matrices that tiles fill: {spec.describe()}")
    return found


def _words_of_tile(product: Product, scalars: str, in_step: int) -> int:
    """Words of a tile of the block but its stream."""
    clamped = product.constant and bool(bounds(product.epilogue))
    if scalars == UNIFORMS:
        return streamed.words_before(product.constant, in_step > 0) + streamed.words_behind(clamped)
    return words_before(product.constant) + words_behind(clamped)


def _in_step(scalars: str, target: Target) -> int:
    """How many QPUs keep in step, or 0."""
    qpus = target.qpus_at_once
    return qpus if scalars == UNIFORMS and 1 < qpus <= MOST_QPUS else 0


def _kernel(product: Product, rows: int, scalars: str, target: Target) -> Assembler:
    """Raises ScheduleError where registers lack."""
    epilogue, constant = coded(product.epilogue), product.constant
    if scalars == UNIFORMS:
        in_step = _in_step(scalars, target)
        return streamed_product_kernel(rows, epilogue, constant=constant, in_step=in_step)
    return matrix_product_kernel(rows, epilogue, constant=constant)
