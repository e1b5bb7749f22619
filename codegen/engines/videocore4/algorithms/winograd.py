"""Winograd convolution: 3x3 filters as products of transformed tiles, of which there are fewer than of the taps.

Three phases: tiles of the input are transformed, products summed by a pointwise kernel (an element of a tile is a group
of channels of its own, tiles are its pixels), and sums transformed back into their places.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from codegen.algorithm_base import AlgorithmBase
from codegen.engines.videocore4.algorithms.channel_lanes import TransformedProducts
from codegen.engines.videocore4.algorithms.convolution import Convolution
from codegen.engines.videocore4.algorithms.gathered_lines import Words
from codegen.engines.videocore4.algorithms.geometry import Geometry, bounds, dealt, starts
from codegen.engines.videocore4.algorithms.images import images_of
from codegen.engines.videocore4.algorithms.phased import Buffer, both, in_scratch
from codegen.engines.videocore4.algorithms.rotated import QpuPointwiseRotated
from codegen.engines.videocore4.algorithms.row_pieces import piece_words
from codegen.engines.videocore4.algorithms.words import float_words
from codegen.engines.videocore4.assembler import Assembler
from codegen.engines.videocore4.cut_sums import made_up_for
from codegen.engines.videocore4.kernels.results import adds_residual, coded, epilogue_instructions
from codegen.engines.videocore4.kernels.row_pieces import PIECES
from codegen.engines.videocore4.kernels.winograd import (
    CHANNELS,
    POINTS,
    channels_together,
    element_order,
    input_kernel,
    product_kernel,
    row_coefficients,
)
from codegen.engines.videocore4.layer import Address, QpuLayer, Uniform
from codegen.engines.videocore4.layout import LANES, LINE_BYTES, Pixel16, block_lines
from codegen.engines.videocore4.memory import GPU_MEMORY
from codegen.errors import ScheduleError
from codegen.graph import LayerSpec
from codegen.operators.conv2d import Conv2d
from codegen.program import WORD_BYTES
from codegen.schedule import Axis, AxisNames, Candidate, Choice, Phase, Point, Space, Work, values
from codegen.target import Target
from codegen.tensor import FloatArray, TensorType
from codegen.winograd import TAPS, TILES, transformed_filters

Places = NDArray[np.intp]

_HEAD_WORDS = 2  # of a block of the products: where its tiles' words are, and how many tiles
CHUNKS = 2, 4, 8, 16, 32  # channels that are transformed with one table
# Instructions of a tile of either transform, and of each channel in it: the first's chunk is chosen by them.
_TABLE, _INPUT, _PRODUCT = 250.0, {2: 95.0, 4: 330.0}, {2: 75.0, 4: 175.0}


@dataclass(frozen=True)
class _Parts:
    """The shapes between the phases: transformed tiles and their products."""

    tile: int
    images: int
    rows: int  # of an image's tiles
    columns: int
    inputs: TensorType
    products: TensorType
    multiplication: LayerSpec

    @staticmethod
    @cache
    def of(spec: LayerSpec, tile: int) -> _Parts:
        geometry = Convolution.require(spec).geometry
        channels, outputs = geometry.input_channels, geometry.output_channels
        rows, columns = -(-geometry.output_rows // tile), -(-geometry.output_columns // tile)
        images, elements = images_of(spec), (tile + TAPS - 1) ** 2
        pixels = images * rows * columns
        inputs, products = (TensorType((1, elements * c, 1, pixels)) for c in (channels, outputs))
        multiplication = LayerSpec(
            Conv2d(kernel=(1, 1), groups=elements),
            (inputs,),
            (products,),
            (TensorType((elements * outputs, channels, 1, 1)), TensorType((elements * outputs,))),
        )
        return _Parts(tile, images, rows, columns, inputs, products, multiplication)

    @property
    def blocks(self) -> int:
        """Of 16 tiles."""
        return -(-self.tiles // LANES)

    @property
    def tiles(self) -> int:
        return self.images * self.rows * self.columns

    @property
    def outputs(self) -> int:
        """Channels."""
        return self.products.shape[1] // self.elements

    @property
    def pitch(self) -> int:
        """Lines from an element's products to the next one's: odd, so that a tile's are of many sets of the caches."""
        return self.outputs | 1

    @property
    def product_block_lines(self) -> int:
        return block_lines(self.elements * self.pitch)

    @property
    def elements(self) -> int:
        return (self.tile + TAPS - 1) ** 2

    def starts(self) -> tuple[int, int, int]:
        """Bytes of the scratch at which inputs and products begin, and where it ends: nothing that is read ahead is
        what another phase writes.
        """
        found = [0]
        for size in (Pixel16().size_bytes(self.inputs), self.blocks * self.product_block_lines * LINE_BYTES):
            behind = size + GPU_MEMORY.guard_bytes
            found.append(found[-1] + -(-behind // GPU_MEMORY.alignment_bytes) * GPU_MEMORY.alignment_bytes)
        first, second, end = found
        return first, second, end


class _Winograd(AlgorithmBase):
    """F(`tile` x `tile`, 3 x 3) around an algorithm of the products, which has the other axes.

    Axes:
        tile: rows and columns of outputs of a transformed tile
        pixel_tiles: tiles of the products, of several transformed tiles each, that QPUs multiply at the same time; they
            share the channels among them
        channels: output channels of a tile of the products
        neighbours: what QPUs that share caches differ in then
    """

    engine: str = "videocore4"
    takes_residuals = True
    _products: QpuPointwiseRotated | TransformedProducts

    def computes(self, spec: LayerSpec, target: Target) -> bool:
        found = Convolution.of(spec)
        if found is None or not target.has_qpus:
            return False
        op, channels = found.op, found.geometry.input_channels
        return (
            op.kernel == (TAPS, TAPS)
            and op.strides == op.dilations == (1, 1)
            and op.groups == 1
            and channels % channels_together(channels) == 0
            and bool(self._tiles(spec, target))
        )

    def _tiles(self, spec: LayerSpec, target: Target) -> tuple[int, ...]:
        channels = Convolution.require(spec).geometry.input_channels
        return tuple(
            tile
            for tile in TILES
            if _refusal(tile, channels) is None
            and self._products.computes(_Parts.of(spec, tile).multiplication, target)
        )

    def space(self, spec: LayerSpec, target: Target) -> Space:
        tiles = self._tiles(spec, target)
        inner = self._products.space(_Parts.of(spec, tiles[0]).multiplication, target)
        return Space((Axis("tile", tiles), *inner.axes))

    def choice_at(self, spec: LayerSpec, target: Target, point: Point) -> Choice:
        op, tile = Convolution.require(spec).op, point["tile"]
        inner = self._inner(spec, target, point)
        # Refuses what has no registers.
        _product_kernel(op, _Parts.of(spec, tile))
        return Choice(
            engine=self.engine,
            algorithm=self.name,
            split=inner.split,
            tile=values({"tile": tile, **inner.tiles}),
            input_layouts=("pixel16",) * len(spec.inputs),
            output_layouts=("pixel16",),
        )

    def _inner(self, spec: LayerSpec, target: Target, point: Point) -> Choice:
        """The choice of the products' algorithm."""
        parts = _Parts.of(spec, point["tile"])
        own = {name: value for name, value in point.items() if name != "tile"}
        return self._products.choice_at(parts.multiplication, target, own)

    def work(self, spec: LayerSpec, target: Target, choice: Choice) -> Work:
        products, others = (phase.work for phase in self.phases(spec, target, choice))
        elements = choice.tiles["tile"] + TAPS - 1
        read = sum(tensor.size_bytes for tensor in spec.inputs)
        read += spec.weights[0].size_bytes * elements**2 / TAPS**2
        return replace(both(products, others), unique_bytes_read=float(read + spec.weights[1].size_bytes))

    def phases(self, spec: LayerSpec, target: Target, choice: Choice) -> tuple[Phase, ...]:
        """The products, and all that is done to get at them and at what they add up to."""
        found = Convolution.require(spec)
        op, geometry = found.op, found.geometry
        parts = _Parts.of(spec, choice.tiles["tile"])
        tile, blocks = parts.tile, parts.blocks
        inner = self._inner(spec, target, {**choice.splits, **choice.tiles})
        read = 16.0 if tile == 2 else 60.0  # of a channel of 16 tiles
        first_lines = blocks * geometry.input_channels
        rows = len(_rows_of_tiles(parts, geometry))
        last_lines = rows * geometry.output_channels  # of 16 columns of a row of tiles
        results = last_lines * tile
        residual_lines = 0 if found.residual is None else results
        stored = first_lines * parts.elements + results
        moved = LINE_BYTES * (
            first_lines * tile * tile + blocks * geometry.output_channels * parts.elements + residual_lines
        )  # of the inputs, about, of all products, and of what is added
        others = Work(
            macs=0.0,
            alu_instructions=first_lines * _INPUT[tile]
            + last_lines * _PRODUCT[tile]
            + results * epilogue_instructions(op.epilogue),
            load_instructions=first_lines * read + last_lines * parts.elements + residual_lines,
            uniform_words=float(last_lines),
            store_instructions=float(stored),
            dma_stores=2.0 * first_lines + PIECES * results / CHANNELS,
            streamed_bytes_read=float(moved),
            bytes_written=float(
                first_lines * parts.elements * LINE_BYTES
                + images_of(spec) * geometry.output_pixels * geometry.output_channels * WORD_BYTES
            ),
        )
        return (
            Phase(
                Candidate(parts.multiplication, inner),
                self._products.work(parts.multiplication, target, inner),
            ),
            Phase(Candidate(spec, replace(choice, split=(), tile=())), others),
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
        found = Convolution.require(spec)
        op, geometry = found.op, found.geometry
        parts = _Parts.of(spec, choice.tiles["tile"])
        inputs, products, end = parts.starts()
        point = {**choice.splits, **choice.tiles}
        back = _products_transformed(parts, found, target, weights[1], output_lines)
        kernel = _product_kernel(op, parts)
        third = QpuLayer(kernel.words, *back, scratch_bytes=end)
        inner = self._inner(spec, target, point)
        order = self._products.order_of_sums(parts.multiplication, inner)
        by_element = made_up_for(_by_element(weights[0], parts.tile), order, filled=1.0)
        multiplied = self._products.lower(parts.multiplication, target, inner, by_element)
        places: dict[Buffer, Address] = {
            ("input", 0): Address("scratch", inputs),
            ("output", 0): Address("scratch", products),
        }
        second = in_scratch(_spread(_in_one_round(multiplied), parts), places)
        table, blocks = _inputs_transformed(parts, geometry, target)
        first = input_kernel(parts.tile, geometry.input_channels).words
        return QpuLayer(
            first,
            table,
            blocks,
            then=replace(second, then=third, scratch_bytes=end),
            scratch_bytes=end,
        )


class QpuWinograd(_Winograd):
    """F(`tile` x `tile`, 3 x 3): the products as `qpu_pointwise_rotated` has them, of 2 blocks of 16 tiles by
    `channels` output channels.

    Axes:
        blocks: blocks of 16 tiles that a QPU multiplies at a time
    """

    name = "qpu_winograd"
    _products = QpuPointwiseRotated()
    axis_names: ClassVar[AxisNames] = _products.axis_names


class QpuWinogradChannels(_Winograd):
    """F(`tile` x `tile`, 3 x 3): the products as `qpu_pointwise_channels` has them, of any number of tiles by 32 output
    channels on the lanes.

    Axes:
        pixels: transformed tiles of a tile of the products
    """

    name = "qpu_winograd_channels"
    _products = TransformedProducts()
    axis_names: ClassVar[AxisNames] = _products.axis_names


@cache
def _refusal(tile: int, channels: int) -> str | None:
    """Why there is no transform of inputs of so many channels; None where there is one."""
    try:
        input_kernel(tile, channels)
    except ScheduleError as error:
        return str(error)
    return None


def _by_element(kernel: FloatArray, tile: int) -> list[FloatArray]:
    """Kernel and biases of the products: a group for each element of a tile."""
    elements = transformed_filters(kernel, tile, POINTS)
    ordered = np.stack([elements[row, column] for row, column in element_order(tile)])
    outputs = len(kernel) * len(ordered)
    return [
        ordered.reshape(outputs, -1, 1, 1).astype(np.float32),
        np.zeros(outputs, np.float32),
    ]


def _in_one_round(layer: QpuLayer) -> QpuLayer:
    """All tiles of a QPU as one block: a launch has room for few marks, and each round would pass one."""
    merged: list[tuple[Uniform, ...] | None] = []
    for q in range(len(layer.blocks)):
        own = layer.of_qpu(q)
        tiles = [word for block in own for word in block[_HEAD_WORDS:]]
        count = sum(number for block in own if isinstance(number := block[1], int))
        merged.append((own[0][0], count, *tiles) if own else None)
    return replace(layer, blocks=tuple(merged), more=())


def _spread(layer: QpuLayer, parts: _Parts) -> QpuLayer:
    """The products of each element of a tile where `_Parts` has them: each store is of one element's."""
    outputs, from_block = parts.outputs, block_lines(parts.products.shape[1])

    def moved(word: Uniform) -> Uniform:
        if not isinstance(word, Address) or word.base != "output":
            return word
        line, inside = divmod(word.offset_bytes, LINE_BYTES)
        block, line = divmod(line, from_block)
        element, channel = divmod(line, outputs)
        at = block * parts.product_block_lines + element * parts.pitch + channel
        return replace(word, offset_bytes=at * LINE_BYTES + inside)

    blocks = (None if block is None else tuple(map(moved, block)) for block in layer.blocks)
    return replace(layer, blocks=tuple(blocks))


def _chunks(channels: int, blocks: int, per_channel: float, qpus: int) -> list[tuple[int, range]]:
    """(block of tiles, channels) of each tile: as many channels as leave the busiest QPU the least to do."""

    def cost(chunk: int) -> float:
        return max(dealt(blocks * -(-channels // chunk), qpus)) * (_TABLE + chunk * per_channel)

    chunk = min(CHUNKS, key=cost)
    return [
        (block, range(first, min(first + chunk, channels)))
        for block in range(blocks)
        for first in range(0, channels, chunk)
    ]


def _first_outputs(parts: _Parts, number: Places) -> tuple[Places, Places, Places]:
    """Image, row and column of the first output of each tile."""
    image, place = np.divmod(number, parts.rows * parts.columns)
    row, column = np.divmod(place, parts.columns)
    return image, parts.tile * row, parts.tile * column


def _inputs_transformed(
    parts: _Parts, geometry: Geometry, target: Target
) -> tuple[Words, tuple[tuple[Uniform, ...] | None, ...]]:
    """Weights and blocks of the first phase."""
    tile, side = parts.tile, parts.tile + TAPS - 1
    number = np.arange(parts.blocks * LANES)
    image, row, column = _first_outputs(parts, number)
    down, right = np.divmod(np.arange(side * side), side)
    top, left, _, _ = geometry.pads
    y = row.reshape(-1, 1, LANES) + down[:, None] - top
    x = column.reshape(-1, 1, LANES) + right[:, None] - left
    pixel = y * geometry.input_columns + x
    offsets = pixel // LANES * geometry.input_block_bytes + pixel % LANES * WORD_BYTES
    offsets += image.reshape(-1, 1, LANES) * geometry.input_blocks * geometry.input_block_bytes
    inside = (y >= 0) & (y < geometry.input_rows) & (x >= 0) & (x < geometry.input_columns)
    inside &= (number < parts.tiles).reshape(-1, 1, LANES)
    table = np.where(inside, offsets, -1).astype(np.int32).view(np.uint32)
    together = channels_together(geometry.input_channels)
    zeros = LANES * (max(CHUNKS) + geometry.input_channels // together * (together - 1))
    words = np.concatenate([np.zeros(zeros, np.uint32), table.reshape(-1)])
    each = geometry.input_channels // together
    tiles = _chunks(each, parts.blocks, _INPUT[tile] * together, target.qpus)
    pitch = block_lines(parts.inputs.shape[1])

    def words_of(block: int, channels: range) -> list[Uniform]:
        return [
            Address("weights", WORD_BYTES * zeros + LINE_BYTES * side * side * block),
            Address("input", LINE_BYTES * channels.start),
            Address("weights"),
            len(channels),
            Address("scratch", parts.starts()[0] + LINE_BYTES * (pitch * block + channels.start)),
        ]

    return words, _blocks(tiles, words_of, target)


def _product_kernel(op: Conv2d, parts: _Parts) -> Assembler:
    """Raises ScheduleError where registers lack."""
    residual = adds_residual(op.epilogue)
    return product_kernel(parts.tile, parts.pitch, coded(op.epilogue), residual=residual)


@dataclass(frozen=True)
class _RowOfTiles:
    """Up to 16 columns of outputs of an image's row of tiles."""

    image: int
    row: int
    column: int


def _rows_of_tiles(parts: _Parts, geometry: Geometry) -> list[_RowOfTiles]:
    return [
        _RowOfTiles(image, row, column)
        for image in range(parts.images)
        for row in range(parts.rows)
        for column in range(0, geometry.output_columns, LANES)
    ]


def _products_transformed(
    parts: _Parts, found: Convolution, target: Target, bias: FloatArray, output_lines: int | None
) -> tuple[Words, tuple[tuple[Uniform, ...] | None, ...]]:
    """Weights and blocks of the third phase."""
    whole, clamp = found.geometry, bounds(found.op.epilogue)
    geometry = whole.within(output_lines)
    tile = parts.tile
    rows = _rows_of_tiles(parts, geometry)
    _, products, _ = parts.starts()
    lines = row_coefficients(tile)[:, np.arange(LANES) % tile]
    table = _product_table(parts, geometry, rows)
    padded = float_words(np.pad(bias, (0, -len(bias) % LANES)))
    table_start, bias_start = WORD_BYTES * lines.size, WORD_BYTES * lines.size + table.nbytes

    def of_residual(place: _RowOfTiles, channel: int) -> list[Uniform]:
        if found.residual is None:
            return []
        at = place.image * whole.output_blocks * whole.output_lines + channel
        last_row = whole.output_rows - 1
        return [
            min(LANES, whole.output_columns - place.column) - 1,
            (whole.output_lines - 1) * LINE_BYTES,
            Address("input", LINE_BYTES * at, found.residual),
            *(whole.output_columns * min(tile * place.row + y, last_row) + place.column for y in range(tile)),
        ]

    def words_of(number: int, channel: int, last: bool) -> list[Uniform]:
        place = rows[number]
        words: list[Uniform] = [
            Address("weights", table_start + LINE_BYTES * number),
            Address("scratch", products + LINE_BYTES * channel),
            Address("weights", bias_start + WORD_BYTES * channel),
            *of_residual(place, channel),
            *clamp,
        ]
        for down in range(tile):
            y = tile * place.row + down
            pixels = min(LANES, geometry.output_columns - place.column) if y < geometry.output_rows else 0
            first = geometry.output_columns * y + place.column
            own = range(channel, channel + CHANNELS)
            words += piece_words(geometry, first, pixels, 0, own, down * CHANNELS, place.image)
        return [*words, int(not last)]

    tiles = [
        (number, channel)
        for channel in starts(geometry.output_channels, CHANNELS)
        for number in range(len(rows))
    ]
    blocks: list[tuple[Uniform, ...] | None] = []
    for q in range(target.qpus):
        own = tiles[q :: target.qpus]
        words: list[Uniform] = [Address("block", 2 * WORD_BYTES), Address("weights")]
        for n, (number, channel) in enumerate(own):
            words += words_of(number, channel, n == len(own) - 1)
        blocks.append(tuple(words) if own else None)
    return np.concatenate([float_words(lines), table, padded]), tuple(blocks)


def _product_table(parts: _Parts, geometry: Geometry, rows: Sequence[_RowOfTiles]) -> Words:
    """For each row of tiles a line of the bytes to the lanes' first products; lanes without a column read those of the
    last.
    """
    found = []
    for place in rows:
        x = np.minimum(place.column + np.arange(LANES), geometry.output_columns - 1)
        number = (place.image * parts.rows + place.row) * parts.columns + x // parts.tile
        found.append(number // LANES * parts.product_block_lines * LINE_BYTES + number % LANES * WORD_BYTES)
    return np.concatenate(found).astype(np.uint32)


def _blocks(
    tiles: Sequence[tuple[int, range]], words_of: Callable[[int, range], list[Uniform]], target: Target
) -> tuple[tuple[Uniform, ...] | None, ...]:
    """By QPU: neighbours in time are dealt out to different ones."""
    found: list[tuple[Uniform, ...] | None] = []
    for q in range(target.qpus):
        own = tiles[q :: target.qpus]
        words: list[Uniform] = [Address("block", 2 * WORD_BYTES), len(own)]
        for block, channels in own:
            words += words_of(block, channels)
        found.append(tuple(words) if own else None)
    return tuple(found)
