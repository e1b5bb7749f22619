"""Winograd convolution: 3x3 filters as products of transformed tiles, of which there are fewer than of the taps.

Four phases: tiles of the input are transformed, products summed by a pointwise kernel (an element of a tile is a group
of channels of its own, tiles are its pixels), sums transformed back, and results put into their places.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from codegen.algorithm_base import AlgorithmBase
from codegen.engines.videocore4.algorithms.arrangements import arrangement
from codegen.engines.videocore4.algorithms.channel_lanes import TransformedProducts
from codegen.engines.videocore4.algorithms.convolution import Convolution
from codegen.engines.videocore4.algorithms.gathered_lines import GatheredLines, Words
from codegen.engines.videocore4.algorithms.geometry import Geometry, bounds, dealt
from codegen.engines.videocore4.algorithms.images import images_of
from codegen.engines.videocore4.algorithms.moves import work_of
from codegen.engines.videocore4.algorithms.phased import Buffer, both, in_scratch
from codegen.engines.videocore4.algorithms.rotated import QpuPointwiseRotated
from codegen.engines.videocore4.algorithms.words import float_words
from codegen.engines.videocore4.assembler import Assembler
from codegen.engines.videocore4.cut_sums import made_up_for
from codegen.engines.videocore4.kernels.results import adds_residual, coded, epilogue_instructions
from codegen.engines.videocore4.kernels.winograd import (
    POINTS,
    channels_together,
    element_order,
    input_kernel,
    product_kernel,
)
from codegen.engines.videocore4.layer import Address, QpuLayer, Uniform
from codegen.engines.videocore4.layout import LANES, LINE_BYTES, Pixel16, block_lines
from codegen.engines.videocore4.memory import GPU_MEMORY
from codegen.errors import ScheduleError
from codegen.graph import LayerSpec
from codegen.operators.conv2d import Conv2d
from codegen.operators.rearrange import Rearrange
from codegen.program import WORD_BYTES
from codegen.schedule import Axis, AxisNames, Candidate, Choice, Phase, Point, Space, Work, values
from codegen.target import Target
from codegen.tensor import FloatArray, TensorType
from codegen.winograd import TAPS, TILES, transformed_filters

Places = NDArray[np.intp]

_HEAD_WORDS = 2  # of a block of the products: where its tiles' words are, and how many tiles
CHUNKS = 2, 4, 8, 16, 32  # channels that are transformed with one table
ROWS, GROUPS = 32, 8  # of the last phase: what is read is shared by blocks side by side, in all channels
# Instructions of a tile of either transform, and of each channel in it: to choose its chunk by.
_TABLE, _INPUT, _PRODUCT = 250.0, {2: 95.0, 4: 330.0}, {2: 85.0, 4: 215.0}


@dataclass(frozen=True)
class _Parts:
    """The shapes between the phases: transformed tiles, their products, and these transformed back."""

    tile: int
    images: int
    rows: int  # of an image's tiles
    columns: int
    inputs: TensorType
    products: TensorType
    results: TensorType
    multiplication: LayerSpec
    placing: LayerSpec

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
        results = TensorType((1, outputs * tile * tile, images * rows, columns))
        # Row-major places in `results` add up over image, channel, row and column.
        image_places = (image * rows * columns for image in range(images))
        row_places = ((y % tile) * tile * pixels + y // tile * columns for y in range(geometry.output_rows))
        column_places = ((x % tile) * pixels + x // tile for x in range(geometry.output_columns))
        placing = Rearrange(
            spec.output.shape,
            (0, tile * tile * pixels, 0, 0),
            0,
            (tuple(image_places), (), tuple(row_places), tuple(column_places)),
        )
        return _Parts(
            tile,
            images,
            rows,
            columns,
            inputs,
            products,
            results,
            multiplication,
            LayerSpec(placing, (results,), spec.outputs),
        )

    @property
    def blocks(self) -> int:
        """Of 16 tiles."""
        return -(-self.tiles // LANES)

    @property
    def tiles(self) -> int:
        return self.images * self.rows * self.columns

    @property
    def elements(self) -> int:
        return (self.tile + TAPS - 1) ** 2

    def starts(self) -> tuple[int, int, int, int]:
        """Bytes of the scratch at which inputs, products and results begin, and where it ends: nothing that is read
        ahead is what another phase writes.
        """
        found = [0]
        for tensor in (self.inputs, self.products, self.results):
            size = Pixel16().size_bytes(tensor) + GPU_MEMORY.guard_bytes
            found.append(found[-1] + -(-size // GPU_MEMORY.alignment_bytes) * GPU_MEMORY.alignment_bytes)
        first, second, third, end = found
        return first, second, third, end


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
        found = Convolution.require(spec)
        op, geometry = found.op, found.geometry
        tile = point["tile"]
        inner = self._inner(spec, target, point)
        # Refuses what has no registers.
        _product_kernel(op, geometry, tile)
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
        last = work_of(_placing(parts, None), ROWS, GROUPS, target, 0.0)
        read = 16.0 if tile == 2 else 60.0  # of a channel of 16 tiles
        first_lines, last_lines = blocks * geometry.input_channels, blocks * geometry.output_channels
        results = last_lines * tile * tile
        residual_lines = 0 if found.residual is None else results
        stored = first_lines * parts.elements + results
        moved = LINE_BYTES * (
            first_lines * tile * tile + last_lines * parts.elements + residual_lines
        )  # of the inputs, about, of all products, and of what is added
        others = Work(
            macs=0.0,
            alu_instructions=first_lines * _INPUT[tile]
            + last_lines * _PRODUCT[tile]
            + results * epilogue_instructions(op.epilogue)
            + last.alu_instructions,
            load_instructions=first_lines * read
            + last_lines * parts.elements
            + residual_lines
            + last.load_instructions,
            uniform_words=last_lines + last.uniform_words,
            store_instructions=stored + last.store_instructions,
            dma_stores=2.0 * (first_lines + last_lines) + last.dma_stores,
            streamed_bytes_read=moved + last.streamed_bytes_read,
            bytes_written=stored * LINE_BYTES + last.bytes_written,
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
        inputs, products, results, end = parts.starts()
        point = {**choice.splits, **choice.tiles}
        last = replace(
            _placing(parts, output_lines).lower(ROWS, GROUPS, target, "scratch"), scratch_bytes=end
        )
        back = _products_transformed(parts, found, target, weights[1])
        kernel = _product_kernel(op, geometry, parts.tile)
        third = QpuLayer(
            kernel.words,
            *back,
            then=in_scratch(last, {("scratch", 0): Address("scratch", results)}),
            scratch_bytes=end,
        )
        inner = self._inner(spec, target, point)
        order = self._products.order_of_sums(parts.multiplication, inner)
        by_element = made_up_for(_by_element(weights[0], parts.tile), order, filled=1.0)
        multiplied = self._products.lower(parts.multiplication, target, inner, by_element)
        places: dict[Buffer, Address] = {
            ("input", 0): Address("scratch", inputs),
            ("output", 0): Address("scratch", products),
        }
        second = in_scratch(_in_one_round(multiplied), places)
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


def _placing(parts: _Parts, output_lines: int | None) -> GatheredLines:
    return arrangement(parts.placing, ("pixel16", "pixel16"), output_lines)


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


def _product_kernel(op: Conv2d, geometry: Geometry, tile: int) -> Assembler:
    """Raises ScheduleError where registers lack."""
    residual = adds_residual(op.epilogue)
    return product_kernel(tile, geometry.output_channels, coded(op.epilogue), residual=residual)


def _products_transformed(
    parts: _Parts, found: Convolution, target: Target, bias: FloatArray
) -> tuple[Words, tuple[tuple[Uniform, ...] | None, ...]]:
    """Weights and blocks of the third phase."""
    geometry, clamp = found.geometry, bounds(found.op.epilogue)
    tiles = _chunks(geometry.output_channels, parts.blocks, _PRODUCT[parts.tile], target.qpus)
    _, products, results, _ = parts.starts()
    from_block, to_block = (block_lines(tensor.shape[1]) for tensor in (parts.products, parts.results))
    lines = parts.tile**2
    padded = float_words(np.pad(bias, (0, -len(bias) % LANES)))

    def of_residual(block: int, channel: int) -> list[Uniform]:
        if found.residual is None:
            return []
        table = Address("weights", padded.nbytes + LINE_BYTES * lines * block)
        return [table, Address("input", LINE_BYTES * channel, found.residual)]

    def words_of(block: int, channels: range) -> list[Uniform]:
        return [
            Address("scratch", products + LINE_BYTES * (from_block * block + channels.start)),
            Address("scratch", results + LINE_BYTES * (to_block * block + lines * channels.start)),
            Address("weights", WORD_BYTES * channels.start),
            len(channels),
            *clamp,
            *of_residual(block, channels.start),
        ]

    table = [] if found.residual is None else [_residual_table(parts, geometry)]
    return np.concatenate([padded, *table]), _blocks(tiles, words_of, target)


def _residual_table(parts: _Parts, geometry: Geometry) -> Words:
    """For each block of tiles and each output of a tile the bytes to it, by lanes, in the whole layer's output. Lanes
    outside, which nothing is made of, read its first element.
    """
    number = np.arange(parts.blocks * LANES)
    image, row, column = _first_outputs(parts, number)
    down, right = np.divmod(np.arange(parts.tile**2), parts.tile)
    y = row.reshape(-1, 1, LANES) + down[:, None]
    x = column.reshape(-1, 1, LANES) + right[:, None]
    block, lane = np.divmod(y * geometry.output_columns + x, LANES)
    block += image.reshape(-1, 1, LANES) * geometry.output_blocks
    offsets = block * block_lines(geometry.output_channels) * LINE_BYTES + lane * WORD_BYTES
    inside = (y < geometry.output_rows) & (x < geometry.output_columns)
    inside &= (number < parts.tiles).reshape(-1, 1, LANES)
    return np.where(inside, offsets, 0).astype(np.uint32).reshape(-1)


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
