"""Chains of a 3x3 convolution of few input channels and the depthwise one that reads it: see the kernel."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from codegen.algorithm_base import AlgorithmBase
from codegen.engines.videocore4.algorithms.geometry import (
    UNBOUNDED,
    Geometry,
    bounds,
    busiest_share,
    dealt,
    starts,
)
from codegen.engines.videocore4.algorithms.images import for_each_image, images_of, work_of_images
from codegen.engines.videocore4.algorithms.row_pieces import piece_words
from codegen.engines.videocore4.algorithms.window import depthwise_window
from codegen.engines.videocore4.algorithms.words import float_words
from codegen.engines.videocore4.assembler import Assembler, word_of
from codegen.engines.videocore4.kernels.results import adds_residual, coded, epilogue_instructions
from codegen.engines.videocore4.kernels.row_pieces import PIECES
from codegen.engines.videocore4.kernels.stem_depthwise import (
    BATCH,
    CHANNELS,
    EDGE_LINES,
    EDGE_WORDS,
    INPUT_ROWS,
    MAIN_WORDS,
    ROWS,
    SHARED_ROW,
    SPLIT,
    STRIDE,
    TAPS,
    WINDOW_ROWS,
    pass_instructions,
    stem_depthwise_kernel,
    store_words,
    stream_words,
)
from codegen.engines.videocore4.kernels.stem_depthwise import FIRST_ROWS as CONVOLUTION_ROWS
from codegen.engines.videocore4.layer import Address, QpuLayer, Uniform
from codegen.engines.videocore4.layout import LANES, LINE_BYTES
from codegen.errors import ScheduleError
from codegen.expression import RESULT, Expression, as_clamp
from codegen.graph import LayerSpec
from codegen.operators.chain import pair_of
from codegen.operators.conv2d import Conv2d
from codegen.program import WORD_BYTES
from codegen.schedule import Axis, Choice, Point, Space, Work, values
from codegen.target import Target
from codegen.tensor import FloatArray

MOST_CHANNELS = 4
PARTS = (1, 2, 3, 4, 6, 8)
_ALL = np.uint32(0xFFFFFFFF)
_Words = NDArray[np.uint32]


@dataclass(frozen=True)
class StemDepthwise:
    """The convolution `conv`, whose results go through `activation`, or a clamp from 0 to the number whose bits are
    `high`, and the depthwise `window` that reads it.
    """

    conv: Geometry
    activation: Expression | None
    high: int
    window: Geometry
    op: Conv2d

    @staticmethod
    @cache
    def of(spec: LayerSpec) -> StemDepthwise | None:
        """None where the layer is no such chain, or one that the kernel does not compute."""
        pair = pair_of(spec)
        if pair is None:
            return None
        first, second = pair
        conv, window = Geometry.of(first), Geometry.of(second)
        if conv is None or window is None or not depthwise_window(second):
            return None
        assert isinstance(second.op, Conv2d)
        if not isinstance(first.op, Conv2d) or first.op.groups != 1:
            return None
        if (conv.kernel, conv.strides, conv.dilations) != ((TAPS, TAPS), (STRIDE, STRIDE), (1, 1)):
            return None
        if (window.kernel, window.strides, window.dilations) != ((TAPS, TAPS), (1, 1), (1, 1)):
            return None
        if window.pads != (1, 1, 1, 1) or adds_residual(first.op.epilogue):
            return None
        value, low, high = as_clamp(first.op.epilogue)
        if value == RESULT and low == 0:
            upper = word_of(float(UNBOUNDED if high is None else high))
            found = StemDepthwise(conv, None, upper, window, second.op)
        else:
            found = StemDepthwise(conv, first.op.epilogue, int(_ALL), window, second.op)
        return found if found._is_padded_as_the_kernel_is() else None

    @staticmethod
    def require(spec: LayerSpec) -> StemDepthwise:
        """Raises ScheduleError where the layer is no such chain."""
        found = StemDepthwise.of(spec)
        if found is None:
            raise ScheduleError(f"no convolution of few channels with a depthwise one: {spec.describe()}")
        return found

    def _is_padded_as_the_kernel_is(self) -> bool:
        """Whether only rows that two windows share, and columns of one end of a pass, lie outside."""
        conv = self.conv
        below, right = self.beyond
        if max(conv.pads[:2]) > 1 or max(below, right) > 1:
            return False
        if right and (conv.pads[1] or conv.output_columns % LANES == 1):
            return False  # columns of both ends in a pass
        return not (below and conv.output_rows % ROWS)

    @property
    def beyond(self) -> tuple[int, int]:
        """Rows and columns that windows reach beyond the input's end."""
        conv = self.conv
        rows = STRIDE * (conv.output_rows - 1) + TAPS - conv.pads[0] - conv.input_rows
        columns = STRIDE * (conv.output_columns - 1) + TAPS - conv.pads[1] - conv.input_columns
        return max(0, rows), max(0, columns)

    @property
    def outside(self) -> tuple[int, ...]:
        """Columns of the window that lie outside somewhere."""
        return (0,) * (self.conv.pads[1] > 0) + (TAPS - 1,) * (self.beyond[1] > 0)

    @property
    def aligned(self) -> bool:
        """Whether every 16 outputs of a row are lines, and every pass finishes two rows."""
        return self.window.output_columns % LANES == 0 and self.window.output_rows % ROWS == 0

    def kernel(self) -> Assembler:
        """Raises ScheduleError where it has no registers."""
        return stem_depthwise_kernel(self.aligned, coded(self.op.epilogue), self.activation)

    @property
    def groups(self) -> tuple[int, ...]:
        """First channels."""
        return starts(self.window.output_channels, CHANNELS)

    @property
    def steps(self) -> tuple[tuple[int, int], ...]:
        """(input channel, column of the window), in order."""
        return tuple((c, x) for c in range(self.conv.input_channels) for x in range(TAPS))

    def strips(self, qpus: int, tiles: Mapping[str, int]) -> Iterator[_Strip]:
        """Parts of rows from top to bottom, each from left to right; then those of the strips that not all QPUs have
        as many tasks of.
        """
        parts, rest_parts = tiles["parts"], tiles["rest_parts"]
        columns = range(0, self.window.output_columns, LANES)
        tasks = len(self.groups) * parts
        even = next(n for n in range(len(columns), -1, -1) if n * tasks % qpus == 0)
        yield from self._parts(columns[:even], parts)
        yield from self._parts(columns[even:], rest_parts)

    def _parts(self, columns: range, parts: int) -> Iterator[_Strip]:
        """Of an even number of rows each."""
        rows = self.window.output_rows
        pairs = -(-rows // ROWS)
        ends = [ROWS * (pairs * part // parts) for part in range(parts + 1)]
        for first, end in pairwise(ends):
            for column in columns:
                yield _Strip(self, column, range(first, min(end, rows)))


class QpuStemDepthwise(AlgorithmBase):
    """A 3x3 convolution of few input channels with stride 2, and the 3x3 depthwise one that reads it, in one kernel:
    what lies between them is never stored.

    Axes:
        parts: of the rows, each a task of 16 columns and 8 channels of its own
        rest_parts: of the rows of those strips that not all QPUs have as many tasks of
    """

    name = "qpu_stem_depthwise"
    engine: str = "videocore4"

    def computes(self, spec: LayerSpec, target: Target) -> bool:
        found = StemDepthwise.of(spec)
        return (
            found is not None
            and target.has_qpus
            and found.conv.input_channels <= MOST_CHANNELS
            and found.window.output_channels >= CHANNELS
            and _has_kernel(found)
        )

    def space(self, spec: LayerSpec, target: Target) -> Space:
        pairs = -(-StemDepthwise.require(spec).window.output_rows // ROWS)
        parts = tuple(parts for parts in PARTS if parts <= pairs)
        return Space((Axis("parts", parts), Axis("rest_parts", parts)))

    def choice_at(self, spec: LayerSpec, target: Target, point: Point) -> Choice:
        return Choice(
            engine=self.engine,
            algorithm=self.name,
            split=values({}),
            tile=values({axis: point[axis] for axis in ("parts", "rest_parts")}),
            input_layouts=("nchw",),
            output_layouts=("pixel16",),
        )

    def work(self, spec: LayerSpec, target: Target, choice: Choice) -> Work:
        found = StemDepthwise.require(spec)
        conv, window = found.conv, found.window
        strips = list(found.strips(target.qpus, choice.tiles))
        groups, steps = len(found.groups), len(found.steps)
        count = len(strips) * groups
        passes = groups * sum(len(strip.passes) for strip in strips)
        edges = groups * sum(len(strip.batches) for strip in strips)
        stores = ROWS * (passes - count)
        epilogue = epilogue_instructions(found.op.epilogue)
        activation = 0.0 if found.activation is None else epilogue_instructions(found.activation)
        computed = (passes + edges) * ROWS * CHANNELS * activation
        convolution = pass_instructions(steps)
        lines = (passes + edges) * (steps + 1) * INPUT_ROWS + edges * EDGE_LINES
        words = (passes + edges) * stream_words(steps) + passes * (
            MAIN_WORDS + 2 + store_words(aligned=found.aligned)
        )
        input_bytes = spec.inputs[0].size_bytes // images_of(spec)
        reads = -(-groups // target.qpus)
        work = Work(
            macs=float(spec.macs // images_of(spec)),
            alu_instructions=passes * (convolution + ROWS * CHANNELS * (3.0 + epilogue) + 50.0)
            + edges * (convolution - 20.0 * CHANNELS)
            + computed
            + count * 40.0,
            load_instructions=float(lines),
            uniform_words=float(words),
            store_instructions=float(passes * ROWS * CHANNELS),
            dma_stores=float(stores * (PIECES if window.output_columns % LANES else 1)),
            unique_bytes_read=float(input_bytes + sum(tensor.size_bytes for tensor in spec.weights)),
            streamed_bytes_read=2.0 * input_bytes * reads + float(WORD_BYTES * words / groups),
            bytes_written=float(WORD_BYTES * window.output_pixels * window.output_channels),
            balance=busiest_share(dealt(count, target.qpus)),
            working_set_bytes=float(3 * INPUT_ROWS * conv.input_channels * LINE_BYTES * target.qpus),
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
        found = StemDepthwise.require(spec)
        stored = found.window.within(output_lines)
        packed = [_group_stream(found, weights, channel) for channel in found.groups]
        group_bytes, size = packed[0].nbytes, sum(part.nbytes for part in packed)
        tasks: list[tuple[Uniform, ...]] = []
        for strip in found.strips(target.qpus, choice.tiles):
            tables = []
            for batch in strip.batches:
                packed.append(strip.edge_lines(batch))
                tables.append(Address("weights", size))
                size += packed[-1].nbytes
            for group, channel in enumerate(found.groups):
                # QPUs of a slice read the same input.
                words = strip.words(stored, tables, channel)
                tasks.append((Address("weights", group * group_bytes), *words))
        blocks = [_block(tasks[qpu :: target.qpus]) for qpu in range(target.qpus)]
        kernel = found.kernel()
        layer = QpuLayer(kernel.words, np.concatenate(packed), tuple(blocks))
        return for_each_image(layer, spec, choice, output_lines)


def _has_kernel(found: StemDepthwise) -> bool:
    try:
        found.kernel()
    except ScheduleError:
        return False
    return True


def _block(tasks: Sequence[tuple[Uniform, ...]]) -> tuple[Uniform, ...] | None:
    """A QPU's tasks."""
    words: list[Uniform] = []
    for number, (stream, *others) in enumerate(tasks):
        words += [stream, Address("block", WORD_BYTES * (len(words) + 2 + EDGE_WORDS)), *others]
        words.append(int(number < len(tasks) - 1))
    return tuple(words) if words else None


def _group_stream(found: StemDepthwise, weights: Sequence[FloatArray], channel: int) -> _Words:
    """The stream of 8 channels from that one on: see the kernel."""
    kernel, bias, taps, window_bias = (tensor[channel : channel + CHANNELS] for tensor in weights)
    window = taps.reshape(CHANNELS, TAPS, TAPS)[:, WINDOW_ROWS, ::-1].transpose(0, 2, 1).reshape(CHANNELS, -1)
    window = np.concatenate([window_bias.reshape(CHANNELS, 1), window], axis=1)
    words = [_line(float_words(bias), _step_head(found, 0))]
    for number, (c, x) in enumerate(found.steps):
        more = number < len(found.steps) - 1
        first, last, middle = (float_words(kernel[:, c, row, x]) for row in CONVOLUTION_ROWS)
        on = np.array([LINE_BYTES], np.uint32)
        words.append(_line(first, on, last[:SPLIT]))
        head = _step_head(found, number + 1 if more else 0)
        words.append(_line(on, last[SPLIT:], np.array([more], np.uint32), head[:1], middle, head[1:]))
    words.append(_line(float_words(window.reshape(-1))))
    return np.concatenate(words)


def _step_head(found: StemDepthwise, number: int) -> _Words:
    """Whether all columns are inside in a step, and the bytes to what is asked for in it. In the last one that is what
    is there: nothing follows.
    """
    following = found.steps[min(number + 1, len(found.steps) - 1)]
    bytes_on = _place(found, following) - _place(found, found.steps[number])
    outside = found.steps[number][1] in found.outside
    return np.array([0 if outside else _ALL, bytes_on], np.uint32)


def _line(*parts: _Words) -> _Words:
    """Words, up to a line's end."""
    words = np.concatenate(parts)
    return np.concatenate([words, np.zeros(-len(words) % LANES, np.uint32)])


def _place(found: StemDepthwise, step: tuple[int, int]) -> int:
    """Bytes from the first input channel's first column of a window."""
    channel, column = step
    return WORD_BYTES * (channel * found.conv.input_rows * found.conv.input_columns + column)


@dataclass(frozen=True)
class _Strip:
    """16 output columns from `column` on, of some rows, whose number is even but for the image's last."""

    found: StemDepthwise
    column: int
    rows: range

    @property
    def passes(self) -> range:
        """The first rows that they compute of the convolution's output."""
        return range(self.rows.start - 1, self.rows.stop + 1, ROWS)

    @property
    def batches(self) -> tuple[range, ...]:
        passes = self.passes
        return tuple(passes[first : first + BATCH] for first in range(0, len(passes), BATCH))

    def edge_lines(self, batch: range) -> _Words:
        """The lines of an edge pass: see the kernel."""
        conv, column = self.found.conv, self.column
        lanes = np.arange(LANES)
        first = batch.start + ROWS * (lanes // 2)
        columns = column - lanes % 2
        inner = np.clip(columns, 0, conv.output_columns - 1)
        places = WORD_BYTES * (STRIDE * inner - conv.pads[1])
        present = first < batch[-1] + ROWS
        lines = [
            (self._row_bytes(first, row) + places).astype(np.int32).view(np.uint32)
            for row in range(INPUT_ROWS)
        ]
        lines.append(_mask(self._is_inside(first, SHARED_ROW)))
        left = conv.pads[1] > 0
        lines.append(_mask((columns > 0) | (not left)))
        for row in range(ROWS):
            inside = (first + row >= 0) & (first + row < conv.output_rows) & (columns >= 0) & present
            lines.append(np.where(inside, np.uint32(self.found.high), np.uint32(0)))
        return np.concatenate(lines)

    def words(self, stored: Geometry, tables: Sequence[Address], channel: int) -> list[Uniform]:
        """Those of a task's passes, of 8 channels from that one on."""
        conv = self.found.conv
        words: list[Uniform] = []
        base = Address("input", WORD_BYTES * (STRIDE * (self.column + 1) - conv.pads[1]))
        present = min(LANES, conv.output_columns - self.column - 1)  # lanes of a main pass
        inside = present - (self.found.beyond[1] > 0 and present < LANES)
        for number, (batch, table) in enumerate(zip(self.batches, tables, strict=True)):
            words += [
                table,
                Address("input", 0),
                present,
                self.found.high,
                inside if self.found.beyond[1] else LANES,
            ]
            for first in batch:
                words.append(base)
                words += [int(self._row_bytes(np.array(first), row)) for row in range(INPUT_ROWS)]
                words.append(int(_mask(self._is_inside(np.array([first]), SHARED_ROW))[0]))
                words += [-int(0 <= first + row < conv.output_rows) for row in range(ROWS)]
                stores = first > self.rows.start
                words += [*bounds(self.found.op.epilogue), int(stores)]
                for row in range(ROWS * stores):
                    words += self._pieces(stored, first - 1 + row, LANES // 2 * row, channel)
                words.append(int(first < batch[-1]))
            words.append(int(number < len(tables) - 1))
        return words

    def _pieces(self, stored: Geometry, row: int, vpm_row: int, channel: int) -> list[Uniform]:
        pixels = min(LANES, stored.output_columns - self.column) if row in self.rows else 0
        first = stored.output_columns * max(row, 0) + self.column
        if self.found.aligned:
            return [Address("output", stored.output_line_bytes(first // LANES, channel))]
        return piece_words(stored, first, pixels, 0, range(channel, channel + CHANNELS), vpm_row)

    def _row_bytes(self, first: NDArray[np.int64], row: int) -> NDArray[np.int64]:
        """Of an input row of a pass; of one outside that of another."""
        conv = self.found.conv
        inner = np.clip(STRIDE * first - conv.pads[0] + row, 0, conv.input_rows - 1)
        return np.asarray(WORD_BYTES * conv.input_columns * inner)

    def _is_inside(self, first: NDArray[np.int64], row: int) -> NDArray[np.bool_]:
        rows = STRIDE * first - self.found.conv.pads[0] + row
        return np.asarray((rows >= 0) & (rows < self.found.conv.input_rows))


def _mask(bits: NDArray[np.bool_]) -> _Words:
    return np.where(bits, _ALL, np.uint32(0)).astype(np.uint32)
