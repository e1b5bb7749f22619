"""Depthwise convolution that loads each line of its input for several columns of taps: see the kernel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from codegen.algorithm_base import AlgorithmBase
from codegen.engines.videocore4.algorithms.geometry import (
    Geometry,
    bounds,
    busiest_share,
    dealt,
    starts,
    tile_count,
)
from codegen.engines.videocore4.algorithms.images import for_each_image, work_of_images
from codegen.engines.videocore4.algorithms.row_pieces import piece_words
from codegen.engines.videocore4.algorithms.window import depthwise_window, window_epilogue
from codegen.engines.videocore4.algorithms.words import float_words
from codegen.engines.videocore4.kernels.depthwise_rotated import (
    MOST_ROWS,
    OUTSIDE,
    READ_AHEAD,
    Form,
    channel_instructions,
    depthwise_rotated_kernel,
)
from codegen.engines.videocore4.kernels.results import coded, epilogue_instructions
from codegen.engines.videocore4.kernels.row_pieces import PIECES
from codegen.engines.videocore4.layer import Address, QpuLayer, Uniform
from codegen.engines.videocore4.layout import LANES, LINE_BYTES
from codegen.errors import ScheduleError
from codegen.graph import LayerSpec
from codegen.program import WORD_BYTES
from codegen.schedule import Axis, Choice, Point, Space, Work, values
from codegen.target import Target
from codegen.tensor import FloatArray

CHANNELS = (8, 12, 16)
MOST_TURNS = 6
MOST_LINES = 1.5  # of a row of tiles, over the least
_HEAD_WORDS = 1


@dataclass(frozen=True)
class _Tile:
    """First output row, column and channel."""

    row: int
    column: int
    channel: int


class QpuDepthwiseRotated(AlgorithmBase):
    """Depthwise convolution whose columns of taps come by rotating sums: a line is loaded once for several of them.

    Axes:
        turns: by how many lanes sums move at most; a row of a tile has as many pixels less than 16
        rows: rows of output pixels of a tile
        channels: of a tile
    """

    name = "qpu_depthwise_rotated"
    engine: str = "videocore4"

    def computes(self, spec: LayerSpec, target: Target) -> bool:
        geometry = Geometry.of(spec)
        return (
            target.has_qpus
            and geometry is not None
            and depthwise_window(spec) is not None
            and geometry.dilations == (1, 1)
            and geometry.kernel[1] > geometry.strides[1]
            and geometry.output_channels >= min(CHANNELS)
            and bool(self._forms(spec))
        )

    def _forms(self, spec: LayerSpec) -> list[Form]:
        """Those that have a kernel. Of a row of tiles more lines than needed are not worth a few pixels more."""
        geometry = self._checked(spec)
        rows = range(min(2, geometry.output_rows), min(MOST_ROWS, geometry.output_rows) + 1)
        channels = [c for c in CHANNELS if c <= geometry.output_channels]
        lines: dict[int, int] = {}
        for turns in range(1, MOST_TURNS + 1):
            form = Form(geometry.kernel, geometry.strides, turns, rows[0], channels[0])
            if form.most_turns == turns:
                lines[turns] = tile_count(geometry.output_columns, form.pixels) * len(form.groups)
        worth = [turns for turns, number in lines.items() if number <= MOST_LINES * min(lines.values())]
        every = (Form(geometry.kernel, geometry.strides, *point) for point in product(worth, rows, channels))
        return [form for form in every if _has_kernel(form, spec)]

    def space(self, spec: LayerSpec, target: Target) -> Space:
        forms = self._forms(spec)
        return Space(
            (
                Axis("turns", tuple(sorted({form.turns for form in forms}))),
                Axis("rows", tuple(sorted({form.rows for form in forms}))),
                Axis("channels", tuple(sorted({form.channels for form in forms}))),
            )
        )

    def choice_at(self, spec: LayerSpec, target: Target, point: Point) -> Choice:
        self._checked(spec)
        # Refuses what has no registers.
        depthwise_rotated_kernel(self._form(spec, point), coded(window_epilogue(spec)))
        return Choice(
            engine=self.engine,
            algorithm=self.name,
            split=values({}),
            tile=values({axis: point[axis] for axis in ("turns", "rows", "channels")}),
            input_layouts=("pixel16",),
            output_layouts=("pixel16",),
        )

    def _form(self, spec: LayerSpec, point: Point) -> Form:
        geometry = self._checked(spec)
        return Form(geometry.kernel, geometry.strides, point["turns"], point["rows"], point["channels"])

    def work(self, spec: LayerSpec, target: Target, choice: Choice) -> Work:
        geometry, form = self._checked(spec), self._form(spec, choice.tiles)
        count = len(_tiles(geometry, form))
        channels = count * form.channels
        outputs = channels * form.rows
        epilogue = window_epilogue(spec)
        input_bytes = WORD_BYTES * geometry.input_channels * geometry.input_rows * geometry.input_columns
        per_tile = 80.0 + 8 * form.lines + 16 * form.rows + 2 * form.ahead
        words = form.words_before_stream() + form.words_behind_stream(clamped=True)
        fresh = min(geometry.input_rows, target.qpus * form.rows * form.strides[0])
        shared = min(geometry.kernel[0] - form.strides[0], geometry.input_rows - fresh)
        work = Work(
            macs=float(geometry.output_pixels * geometry.output_channels * geometry.taps),
            alu_instructions=count * per_tile
            + channels * channel_instructions(form)
            + outputs * (2.0 + 0.5 * (form.unrolled < form.channels) + epilogue_instructions(epilogue)),
            load_instructions=float(channels * form.lines + count * form.ahead),
            uniform_words=float(channels * (geometry.taps + 1) + count * words),
            store_instructions=float(outputs),
            dma_stores=float(count * form.rows * PIECES),
            unique_bytes_read=float(input_bytes + sum(tensor.size_bytes for tensor in spec.weights)),
            streamed_bytes_read=input_bytes * (1.0 + shared / fresh),
            bytes_written=float(WORD_BYTES * geometry.output_pixels * geometry.output_channels),
            balance=busiest_share(dealt(count, target.qpus)),
            working_set_bytes=float(2 * form.lines * form.channels * LINE_BYTES * target.qpus),
        )
        return work_of_images(work, spec)

    def lower(
        self,
        spec: LayerSpec,
        target: Target,
        choice: Choice,
        weights: Sequence[FloatArray],
        *,
        output_lines: int | None = None,
    ) -> QpuLayer:
        geometry, form = self._checked(spec), self._form(spec, choice.tiles)
        geometry = geometry.within(output_lines)
        epilogue = window_epilogue(spec)
        clamp = bounds(epilogue)
        zeros = np.zeros(LANES * (form.channels + READ_AHEAD), np.uint32)
        packed = np.concatenate([zeros, _stream(form, weights)])
        tiles = _tiles(geometry, form)
        expected = form.words_before_stream() + form.words_behind_stream(clamped=bool(clamp))
        blocks: list[tuple[Uniform, ...] | None] = []
        for q in range(target.qpus):
            own = tiles[q :: target.qpus]
            words: list[Uniform] = [Address("block", WORD_BYTES * _HEAD_WORDS)]
            for number, tile in enumerate(own):
                words += _words(geometry, form, tile, clamp, zeros.nbytes)
                words.append(int(number < len(own) - 1))
            if len(words) != _HEAD_WORDS + expected * len(own):
                raise ScheduleError(f"{self.name}: a tile's words do not match what the kernel reads")
            blocks.append(tuple(words) if own else None)
        code = depthwise_rotated_kernel(form, coded(epilogue)).words
        return for_each_image(QpuLayer(code, packed, tuple(blocks)), spec, choice, output_lines)

    def _checked(self, spec: LayerSpec) -> Geometry:
        geometry = Geometry.of(spec)
        if geometry is None or depthwise_window(spec) is None:
            raise ScheduleError(f"{self.name} does not compute {spec.op}")
        return geometry


def _has_kernel(form: Form, spec: LayerSpec) -> bool:
    try:
        depthwise_rotated_kernel(form, coded(window_epilogue(spec)))
    except ScheduleError:
        return False
    return True


def _tiles(geometry: Geometry, form: Form) -> list[_Tile]:
    """Neighbours, which share lines, are computed at the same time."""
    columns = min(form.pixels, geometry.output_columns)
    return [
        _Tile(row, column, channel)
        for channel in starts(geometry.output_channels, form.channels)
        for row in starts(geometry.output_rows, form.rows)
        for column in starts(geometry.output_columns, columns)
    ]


def _stream(form: Form, weights: Sequence[FloatArray]) -> NDArray[np.uint32]:
    """Of each channel its bias and its weights."""
    kernel, bias = weights[0][:, 0], weights[1]
    taps = [tap for taps in form.taps for tap in taps]
    ordered = [bias, *(kernel[:, tap.row, tap.column] for tap in taps)]
    return float_words(np.stack(ordered, axis=1))


def _words(
    geometry: Geometry, form: Form, tile: _Tile, clamp: tuple[float, ...], stream: int
) -> list[Uniform]:
    top, left = geometry.pads[:2]
    down, right = form.strides
    first_row = down * tile.row - top
    rows = range(first_row, first_row + form.input_rows)
    columns = [
        right * (tile.column - form.most_turns + len(group) - 1) - left + group.start for group in form.groups
    ]
    words: list[Uniform] = [
        geometry.input_columns,
        geometry.input_block_bytes - LINE_BYTES,
        Address("input", LINE_BYTES * tile.channel),
        Address("weights"),
        *columns,
        *(row * geometry.input_columns if 0 <= row < geometry.input_rows else OUTSIDE for row in rows),
        Address("weights", stream + WORD_BYTES * (geometry.taps + 1) * tile.channel),
        *clamp,
    ]
    pixels = min(form.pixels, geometry.output_columns)
    channels = range(tile.channel, tile.channel + form.channels)
    for row in range(form.rows):
        first = geometry.output_columns * (tile.row + row) + tile.column
        words += piece_words(geometry, first, pixels, form.most_turns, channels, row * form.channels)
    return words
