"""Products of row-major matrices, of two activations or with a constant, whose rows and columns fill tiles; of two
activations the second may be transposed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import reduce
from typing import ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from codegen.algorithm_base import AlgorithmBase
from codegen.engines.videocore4.algorithms.arrangements import arrangement
from codegen.engines.videocore4.algorithms.gathered_lines import GatheredLines
from codegen.engines.videocore4.algorithms.gemm import NEIGHBOURS, OTHER_CHANNELS, at_a_time, in_turn
from codegen.engines.videocore4.algorithms.geometry import (
    busiest_share,
    dealt,
    divisors,
    tile_count,
)
from codegen.engines.videocore4.algorithms.matrices import (
    BEFORE,
    COPIED,
    IN_PLACE,
    MEANWHILE,
    MIXED,
    ORDERINGS,
    SCALARS,
    SECONDS,
    UNIFORMS,
    Product,
)
from codegen.engines.videocore4.algorithms.moves import work_of
from codegen.engines.videocore4.algorithms.phased import Buffer, both, in_scratch, share_of
from codegen.engines.videocore4.algorithms.product_words import CHUNK, ProductWords, words_of_tile
from codegen.engines.videocore4.algorithms.repacking import (
    Order,
    Tile,
    order_of,
)
from codegen.engines.videocore4.algorithms.words import float_words
from codegen.engines.videocore4.assembler import Assembler
from codegen.engines.videocore4.kernels.channel_lanes import VECTORS
from codegen.engines.videocore4.kernels.matrix_product import (
    COLUMNS,
    COLUMNS_WORDS,
    ROWS,
    columns_kernel,
    matrix_product_kernel,
)
from codegen.engines.videocore4.kernels.pace import MOST_QPUS
from codegen.engines.videocore4.kernels.results import coded, epilogue_instructions
from codegen.engines.videocore4.kernels.rotated import STREAMED
from codegen.engines.videocore4.kernels.streamed import (
    SHARING,
    STREAMED_ROWS,
    UNROLLED,
    streamed_product_kernel,
)
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
Blocks = tuple[tuple[Uniform, ...] | None, ...]
_COPY = 32, 4  # lines of the second matrix at a time, and groups of them
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
        ordering: whether all that is put in order is so before (before), or by DMA while QPUs, in step, compute what
            they have, but for the first tiles' (meanwhile)
    """

    name: str
    engine: str = "videocore4"
    axis_names: ClassVar[AxisNames] = {"neighbours": NEIGHBOURS, "scalars": SCALARS, "ordering": ORDERINGS}
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
            Axis("ordering", ORDERINGS),
        ]
        if not product.constant:
            axes.append(Axis("second", product.seconds))
        return Space(tuple(axes))

    def choice_at(self, spec: LayerSpec, target: Target, point: Point) -> Choice:
        product = _require(spec)
        if point.get("scalars") == UNIFORMS and point.get("second") == IN_PLACE:
            raise ScheduleError(f"{self.name}: uniforms alone want rows behind the second matrix: copy it")
        if point["ordering"] == MEANWHILE and (
            point.get("second") == IN_PLACE or point["neighbours"] != OTHER_CHANNELS
        ):
            raise ScheduleError(
                f"{self.name}: what is put in order meanwhile is both matrices, by neighbours that share rows: others "
                "drift apart"
            )
        size = product.batches * product.summed * product.columns
        if point.get("second") == COPIED and size > MOST_COPIED:
            raise ScheduleError(f"{self.name}: a matrix of {size} elements is read where it lies")
        tile = {name: point[name] for name in ("rows", "second", "scalars", "ordering") if name in point}
        choice = Choice(
            engine=self.engine,
            algorithm=self.name,
            split=values({axis: point[axis] for axis in ("pixel_tiles", "neighbours")}),
            tile=values(tile),
            input_layouts=("nchw",) * len(spec.inputs),
            output_layouts=("nchw",),
        )
        _kernel(product, choice, target)  # refuses what has no registers
        _order(product, choice, target)  # refuses what cannot be put in order meanwhile
        return choice

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
        rows, order = choice.tiles["rows"], _order(product, choice, target)
        tiles = product.batches * len(product.row_starts(rows))
        all_columns = columns = product.batches * len(product.column_starts)
        if order is not None:
            tiles, columns = len(order.before) - order.columns_before, order.columns_before
        groups = tiles * product.depth // LANES
        first = Work(
            macs=0.0,
            alu_instructions=groups * (4.0 * rows + 40),
            load_instructions=float(groups * rows),
            uniform_words=float(groups / CHUNK * COLUMNS_WORDS),
            store_instructions=float(groups * 2 * LANES),
            dma_stores=2.0 * groups,
            streamed_bytes_read=float(LINE_BYTES * groups * rows),
            bytes_written=float(LINE_BYTES * groups * (LANES + LANES // 2)),
        )
        if choice.tiles.get("second") != COPIED:
            return first
        copying = work_of(_copying(product.copied(spec, all_columns)), *_COPY, target, 0.0)
        return both(first, share_of(copying, columns / all_columns))

    def _products(self, product: Product, target: Target, choice: Choice, read: int) -> Work:
        rows, depth = choice.tiles["rows"], product.depth
        down, across = len(product.row_starts(rows)), tile_count(product.columns, COLUMNS)
        tiles = product.batches * down * across
        together, beside = at_a_time(target.qpus, choice, down, across)
        order, scalars = _order(product, choice, target), _scalars_of(choice)
        parts = _parts(order, scalars)
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
            )
            + parts.instructions,
            load_instructions=float(tiles * depth * (VECTORS + (1 / UNROLLED if uniforms else 0.5))),
            uniform_words=float(
                tiles
                * (
                    depth * streamed_rows
                    + words_of_tile(product, scalars, _in_step(choice, target), _ordering_of(choice))
                )
                + parts.words
            ),
            hiding_instructions=hiding,
            store_instructions=float(tiles * results),
            dma_stores=float(tiles * VECTORS + parts.stores),
            unique_bytes_read=float(read),
            streamed_bytes_read=tiles / (together * beside) * float(elements + lines) + parts.moved_bytes,
            bytes_written=float(WORD_BYTES * product.batches * product.rows * product.columns)
            + parts.moved_bytes,
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
        product = _require(spec)
        order, words = _order(product, choice, target), _words(product, choice, target)
        if order is None:
            before, columns_before = _all_rows(words), product.batches * len(product.column_starts)
            blocks = _blocks_in_turn(words, choice, target)
        else:
            before = [(item.batch, item.tile) for item in sorted(order.before) if item.of_rows]
            columns_before = order.columns_before
            blocks = _blocks_meanwhile(words, order, target)
        first_bytes = scratch = product.first_bytes(words.rows, words.scalars, words.ordering)
        packed = np.zeros(LANES, np.uint32)
        if product.constant:
            packed = _packed(weights, product)
        if words.copied:
            scratch += product.second_bytes() * product.batches * len(product.column_starts)
            scratch += GPU_MEMORY.guard_bytes
        last = QpuLayer(_kernel(product, choice, target).words, packed, blocks, scratch_bytes=scratch)
        if words.copied:
            places: dict[Buffer, Address] = {
                ("input", 0): Address("input", 0, product.second or 0),
                ("output", 0): Address("scratch", first_bytes),
            }
            copying = in_scratch(_copying(product.copied(spec, columns_before)).lower(*_COPY, target), places)
            last = replace(copying, then=last, scratch_bytes=scratch)
        chunks = list(words.chunks(before))
        return QpuLayer(
            columns_kernel(words.rows, words.scalars == UNIFORMS).words,
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


class _Parts(NamedTuple):
    """What is put in order meanwhile, in all."""

    stores: int = 0
    instructions: float = 0.0
    words: float = 0.0
    moved_bytes: float = 0.0


def _parts(order: Order | None, scalars: str) -> _Parts:
    if order is None:
        return _Parts()
    uniforms = scalars == UNIFORMS
    left = [item for dealt in order.parts for own in dealt for item, _ in own]
    stores = sum(2 if item.of_rows and not uniforms else 1 for item in left)
    return _Parts(
        stores,
        len(left) * 40.0 + stores * 20.0,
        len(left) * 5.0 + stores * 10.0,
        float(len(left) * 2 * LANES * LINE_BYTES),
    )


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


def _ordering_of(choice: Choice) -> str:
    return str(choice.tiles.get("ordering", BEFORE))


def _scalars_of(choice: Choice) -> str:
    return str(choice.tiles.get("scalars", MIXED))


def _in_step(choice: Choice, target: Target) -> int:
    """How many QPUs keep in step, or 0."""
    qpus, wanted = target.qpus_at_once, _scalars_of(choice) == UNIFORMS or _ordering_of(choice) == MEANWHILE
    return qpus if wanted and 1 < qpus <= MOST_QPUS else 0


def _kernel(product: Product, choice: Choice, target: Target) -> Assembler:
    """Raises ScheduleError where registers lack."""
    epilogue, constant, rows = coded(product.epilogue), product.constant, choice.tiles["rows"]
    stops, in_step = _ordering_of(choice) == MEANWHILE, _in_step(choice, target)
    if _scalars_of(choice) == UNIFORMS:
        return streamed_product_kernel(
            rows, epilogue, constant=constant, in_step=in_step, stops=stops, sharing=_sharing(choice, target)
        )
    return matrix_product_kernel(rows, epilogue, constant=constant, in_step=in_step, stops=stops)


def _sharing(choice: Choice, target: Target) -> int:
    """How many neighbouring QPUs compute tiles of the same rows, and stay close enough to fetch them together."""
    beside = -(-target.qpus_at_once // int(choice.splits["pixel_tiles"]))
    close = _ordering_of(choice) == MEANWHILE and choice.splits["neighbours"] == OTHER_CHANNELS
    return SHARING if close and beside == SHARING else 1


def _words(product: Product, choice: Choice, target: Target) -> ProductWords:
    return ProductWords(
        product,
        choice.tiles["rows"],
        _scalars_of(choice),
        _in_step(choice, target),
        choice.tiles.get("second") == COPIED,
        _ordering_of(choice),
        _sharing(choice, target),
    )


def _order(product: Product, choice: Choice, target: Target) -> Order | None:
    """None where all is put in order before; raises ScheduleError where it must be."""
    if _ordering_of(choice) == BEFORE:
        return None
    return order_of(
        product,
        choice.tiles["rows"],
        choice.splits["pixel_tiles"],
        str(choice.splits["neighbours"]),
        target.qpus_at_once,
        columns_wait=choice.tiles.get("second") == COPIED,
    )


def _all_rows(words: ProductWords) -> list[tuple[int, int]]:
    tiles = len(words.product.row_starts(words.rows))
    return [(batch, row) for batch in range(words.product.batches) for row in range(tiles)]


def _blocks_in_turn(words: ProductWords, choice: Choice, target: Target) -> Blocks:
    product = words.product
    order = in_turn(target.qpus, choice, len(product.row_starts(words.rows)), len(product.column_starts))
    tiles: list[list[Tile]] = [[] for _ in range(target.qpus)]
    for batch in range(product.batches):
        for q, own in enumerate(order):  # begins where the last one has left QPUs with a tile less
            shifted = (q + batch * sum(map(len, order))) % target.qpus
            tiles[shifted] += [(batch, row, column) for row, column in own]
    together = min(map(len, tiles)) if words.in_step else 0
    return tuple(words.block(own, q, together, ()) for q, own in enumerate(tiles))


def _blocks_meanwhile(words: ProductWords, order: Order, target: Target) -> Blocks:
    """Launches one behind the other have rounds of tiles one behind the other."""
    qpus = target.qpus_at_once
    launches = target.qpus // qpus
    rounds = -(-len(order.tiles) // qpus)
    of_launch = -(-rounds // launches)
    blocks: list[tuple[Uniform, ...] | None] = []
    for first in range(0, launches * of_launch, of_launch):
        tiles = order.tiles[first * qpus : (first + of_launch) * qpus]
        together = len(tiles) // qpus if words.in_step else 0
        for q in range(qpus):
            parts = [dealt[q] for dealt in order.parts[first : first + of_launch]]
            blocks.append(words.block(tiles[q::qpus], q, together, parts))
    return tuple(blocks)
