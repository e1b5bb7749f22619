"""What Winograd convolutions do before and behind their products: phases that transform tiles of the input, and sums
back into their places.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
from numpy.typing import NDArray

from codegen.engines.videocore4.algorithms.convolution import Convolution
from codegen.engines.videocore4.algorithms.gathered_lines import Words
from codegen.engines.videocore4.algorithms.geometry import Geometry, bounds, dealt, starts
from codegen.engines.videocore4.algorithms.images import images_of
from codegen.engines.videocore4.algorithms.row_pieces import piece_words
from codegen.engines.videocore4.algorithms.words import float_words
from codegen.engines.videocore4.assembler import Assembler
from codegen.engines.videocore4.kernels.results import adds_residual, coded, epilogue_instructions
from codegen.engines.videocore4.kernels.row_pieces import PIECES
from codegen.engines.videocore4.kernels.winograd import (
    CHANNELS,
    channels_together,
    input_kernel,
    product_kernel,
)
from codegen.engines.videocore4.kernels.winograd_form import STRIDED, Form, row_coefficients
from codegen.engines.videocore4.layer import Address, QpuLayer, Uniform
from codegen.engines.videocore4.layout import LANES, LINE_BYTES, Pixel16, block_lines
from codegen.engines.videocore4.memory import GPU_MEMORY
from codegen.errors import ScheduleError
from codegen.graph import LayerSpec
from codegen.operators.conv2d import Conv2d
from codegen.program import WORD_BYTES
from codegen.schedule import Work
from codegen.target import Target
from codegen.tensor import FloatArray, TensorType

Places = NDArray[np.intp]

CHUNKS = 2, 4, 8, 16, 32  # channels that are transformed with one table
# Instructions of a tile of either transform, and of each channel in it: the first's chunk is chosen by them.
_TABLE = 250.0
_INPUT, _PRODUCT = (
    {Form(2): 95.0, Form(4): 330.0, STRIDED: 120.0},
    {Form(2): 75.0, Form(4): 175.0, STRIDED: 55.0},
)
_READ = {Form(2): 16.0, Form(4): 60.0, STRIDED: 25.0}  # lines of a channel of 16 tiles


@dataclass(frozen=True)
class Parts:
    """The shapes between the phases: transformed tiles and their products."""

    form: Form
    images: int
    rows: int  # of an image's tiles
    columns: int
    inputs: TensorType
    products: TensorType

    @staticmethod
    @cache
    def of(spec: LayerSpec, form: Form) -> Parts:
        geometry = Convolution.require(spec).geometry
        tile = form.tile
        rows, columns = -(-geometry.output_rows // tile), -(-geometry.output_columns // tile)
        images = images_of(spec)
        pixels = images * rows * columns
        inputs = TensorType((1, form.side**2 * geometry.input_channels, 1, pixels))
        products = TensorType((1, len(form.products) * geometry.output_channels, 1, pixels))
        return Parts(form, images, rows, columns, inputs, products)

    def multiplication(self, summed: int) -> LayerSpec:
        """The products that are sums of so many elements, as one layer: a group of channels each."""
        groups = sum(len(product) == summed for product in self.form.products)
        depth, outputs = summed * self.channels, groups * self.outputs
        return LayerSpec(
            Conv2d(kernel=(1, 1), groups=groups),
            (TensorType((1, groups * depth, 1, self.tiles)),),
            (TensorType((1, outputs, 1, self.tiles)),),
            (TensorType((outputs, depth, 1, 1)), TensorType((outputs,))),
        )

    @property
    def channels(self) -> int:
        """Of the input."""
        return self.inputs.shape[1] // self.form.side**2

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
        return self.products.shape[1] // len(self.form.products)

    @property
    def pitch(self) -> int:
        """Lines from one of the products to the next: odd, so that a tile's are of many sets of the caches."""
        return self.outputs | 1

    @property
    def product_block_lines(self) -> int:
        return block_lines(len(self.form.products) * self.pitch)

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


def _chunks(channels: int, blocks: int, per_channel: float, qpus: int) -> list[tuple[int, range]]:
    """(block of tiles, channels) of each tile: as many channels as leave the busiest QPU the least to do. Blocks, which
    overlap, are transformed side by side.
    """

    def cost(chunk: int) -> float:
        return max(dealt(blocks * -(-channels // chunk), qpus)) * (_TABLE + chunk * per_channel)

    chunk = min(CHUNKS, key=cost)
    return [
        (block, range(first, min(first + chunk, channels)))
        for first in range(0, channels, chunk)
        for block in range(blocks)
    ]


def _first_outputs(parts: Parts, number: Places) -> tuple[Places, Places, Places]:
    """Image, row and column of the first output of each tile."""
    image, place = np.divmod(number, parts.rows * parts.columns)
    row, column = np.divmod(place, parts.columns)
    step = parts.form.tile
    return image, step * row, step * column


def inputs_transformed(
    parts: Parts, geometry: Geometry, target: Target, places: Places
) -> tuple[Words, tuple[tuple[Uniform, ...] | None, ...]]:
    """Weights and blocks of the first phase; `places`: where each transformed tile goes."""
    side, stride = parts.form.side, parts.form.stride
    number = np.full(parts.blocks * LANES, parts.tiles)
    number[places] = np.arange(parts.tiles)
    image, row, column = _first_outputs(parts, number)
    down, right = np.divmod(np.arange(side * side), side)
    top, left, _, _ = geometry.pads
    y = stride * row.reshape(-1, 1, LANES) + down[:, None] - top
    x = stride * column.reshape(-1, 1, LANES) + right[:, None] - left
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
    tiles = _chunks(each, parts.blocks, _INPUT[parts.form] * together, target.qpus)
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


def product_code(op: Conv2d, parts: Parts) -> Assembler:
    """Raises ScheduleError where registers lack."""
    residual = adds_residual(op.epilogue)
    return product_kernel(parts.form, parts.pitch, coded(op.epilogue), residual=residual)


@dataclass(frozen=True)
class _RowOfTiles:
    """Up to 16 columns of outputs of an image's row of tiles."""

    image: int
    row: int
    column: int


def rows_of_tiles(parts: Parts, geometry: Geometry) -> list[_RowOfTiles]:
    return [
        _RowOfTiles(image, row, column)
        for image in range(parts.images)
        for row in range(parts.rows)
        for column in range(0, geometry.output_columns, LANES)
    ]


def products_transformed(
    parts: Parts, found: Convolution, target: Target, bias: FloatArray, output_lines: int | None
) -> tuple[Words, tuple[tuple[Uniform, ...] | None, ...]]:
    """Weights and blocks of the third phase."""
    whole, clamp = found.geometry, bounds(found.op.epilogue)
    geometry = whole.within(output_lines)
    tile = parts.form.tile
    rows = rows_of_tiles(parts, geometry)
    _, products, _ = parts.starts()
    lines = row_coefficients(parts.form)[:, np.arange(LANES) % tile]
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


def _product_table(parts: Parts, geometry: Geometry, rows: Sequence[_RowOfTiles]) -> Words:
    """For each row of tiles a line of the bytes to the lanes' first products; lanes without a column read those of the
    last.
    """
    found = []
    for place in rows:
        x = np.minimum(place.column + np.arange(LANES), geometry.output_columns - 1)
        number = (place.image * parts.rows + place.row) * parts.columns + x // parts.form.tile
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


def has_transform(form: Form, channels: int) -> bool:
    """Whether there is one of inputs of so many channels."""
    if channels % channels_together(channels):
        return False
    try:
        input_kernel(form, channels)
    except ScheduleError:
        return False
    return True


def around(
    products: QpuLayer,
    parts: Parts,
    found: Convolution,
    target: Target,
    places: Places,
    bias: FloatArray,
    output_lines: int | None,
) -> QpuLayer:
    """All phases: `products` is the second, which has its inputs in these places."""
    end = parts.starts()[-1]
    back = products_transformed(parts, found, target, bias, output_lines)
    third = QpuLayer(product_code(found.op, parts).words, *back, scratch_bytes=end)
    table, blocks = inputs_transformed(parts, found.geometry, target, places)
    first = input_kernel(parts.form, found.geometry.input_channels).words
    then = replace(products, then=third, scratch_bytes=end)
    return QpuLayer(first, table, blocks, then=then, scratch_bytes=end)


def work_of_transforms(parts: Parts, found: Convolution) -> Work:
    """All that is done to get at the products and at what they add up to."""
    op, geometry, form = found.op, found.geometry, parts.form
    first_lines = parts.blocks * geometry.input_channels
    rows = len(rows_of_tiles(parts, geometry))
    last_lines = rows * geometry.output_channels  # of 16 columns of a row of tiles
    results = last_lines * form.tile
    residual_lines = 0 if found.residual is None else results
    elements, products = form.side**2, len(form.products)
    moved = LINE_BYTES * (
        first_lines * (form.tile * form.stride) ** 2
        + parts.blocks * geometry.output_channels * products
        + residual_lines
    )  # of the inputs, about, of all products, and of what is added
    return Work(
        macs=0.0,
        alu_instructions=first_lines * _INPUT[form]
        + last_lines * _PRODUCT[form]
        + results * epilogue_instructions(op.epilogue),
        load_instructions=first_lines * _READ[form] + last_lines * products + residual_lines,
        uniform_words=float(last_lines),
        store_instructions=float(first_lines * elements + results),
        dma_stores=2.0 * first_lines + PIECES * results / CHANNELS,
        streamed_bytes_read=float(moved),
        bytes_written=float(
            first_lines * elements * LINE_BYTES
            + parts.images * geometry.output_pixels * geometry.output_channels * WORD_BYTES
        ),
    )
