"""What an expansion and its depthwise convolution are, and the words of bands of rows of their outputs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
from numpy.typing import NDArray

from codegen.engines.videocore4.algorithms.gemm import is_pointwise
from codegen.engines.videocore4.algorithms.geometry import (
    UNBOUNDED,
    Geometry,
    bounds,
    starts,
)
from codegen.engines.videocore4.algorithms.images import images_of
from codegen.engines.videocore4.algorithms.pixel_source import PixelSource
from codegen.engines.videocore4.algorithms.row_pieces import piece_words
from codegen.engines.videocore4.algorithms.tasks import block_of_tasks
from codegen.engines.videocore4.algorithms.window import depthwise_window
from codegen.engines.videocore4.algorithms.words import float_words
from codegen.engines.videocore4.kernels.expand_depthwise import check
from codegen.engines.videocore4.kernels.expand_form import (
    KEPT_ROW,
    KEPT_ROWS,
    SUMS,
    TAPS,
    Form,
    Vector,
    input_rows,
    vectors_of,
)
from codegen.engines.videocore4.kernels.pieces import dma_store_rows
from codegen.engines.videocore4.kernels.results import is_clamped
from codegen.engines.videocore4.kernels.row_pieces import vpm_slots
from codegen.engines.videocore4.layer import Address, Uniform
from codegen.engines.videocore4.layout import LANES, LINE_BYTES
from codegen.errors import ScheduleError
from codegen.expression import RESULT, as_clamp
from codegen.graph import LayerSpec
from codegen.operators.chain import pair_of
from codegen.operators.conv2d import Conv2d
from codegen.schedule import Point, Value
from codegen.target import Target
from codegen.tensor import FloatArray

SOURCES = INPUT, COPY, ONCE = "input", "copy", "once"
L1_LINES = 64  # of a TMU's cache, which is direct mapped
_BANDS, _COLUMNS = 4, 4  # what bands and columns are looked at


@dataclass(frozen=True)
class Expanded:
    """`expansion`, the geometry of the pointwise convolution, whose clamp is from 0 to `high`, and the depthwise
    `window` that reads it.
    """

    expansion: Geometry
    high: float
    window: Geometry
    op: Conv2d

    @staticmethod
    @cache
    def of(spec: LayerSpec) -> Expanded | None:
        """None where the layer is no such chain, or one that the kernel does not compute."""
        pair = pair_of(spec)
        if pair is None:
            return None
        first, second = pair
        expansion, window = Geometry.of(first), Geometry.of(second)
        if expansion is None or window is None or not depthwise_window(second):
            return None
        assert isinstance(second.op, Conv2d)
        if not isinstance(first.op, Conv2d) or first.op.groups != 1 or not is_pointwise(expansion):
            return None
        value, low, high = as_clamp(first.op.epilogue)
        if value != RESULT or low != 0 or not is_clamped(second.op.epilogue):
            return None
        if window.kernel != (TAPS, TAPS) or window.dilations != (1, 1):
            return None
        return Expanded(expansion, UNBOUNDED if high is None else high, window, second.op)

    @staticmethod
    def require(spec: LayerSpec) -> Expanded:
        """Raises ScheduleError where the layer is no such chain."""
        found = Expanded.of(spec)
        if found is None:
            raise ScheduleError(f"no expansion with a depthwise convolution: {spec.describe()}")
        return found

    def form(self, point: Point, spec: LayerSpec, target: Target) -> Form:
        """Images of a batch are rounds, in which QPUs change places: then none has columns of its own."""
        channels, stride, rows = self.expansion.input_channels, self.window.strides[0], point["rows"]
        pixels = point["pixels"]
        if point["source"] == ONCE:
            return Form(channels, stride, 2, pixels, _tmus(self.expansion, stride, 2, ONCE), once=True)
        form = Form(channels, stride, rows, pixels, _tmus(self.expansion, stride, rows, point["source"]))
        own = replace(form, own=True)
        alone = rows == images_of(spec) == 1 and target.qpus <= vpm_slots(pixels)
        return own if alone and has_kernel(own) else form

    @property
    def groups(self) -> tuple[int, ...]:
        """First channels."""
        return starts(self.window.output_channels, LANES)


@cache
def _tmus(expansion: Geometry, stride: int, rows: int, source: Value) -> tuple[tuple[int, ...], ...]:
    """Which TMU gathers which vectors of which row: of the divisions into two equal parts the one that has the fewest
    lines in the same sets of a TMU's cache. Lines of a copy are read by all QPUs of a slice once.
    """
    vectors = vectors_of(expansion.input_channels)
    every = range(input_rows(rows, stride))
    if source != INPUT:
        return tuple(tuple((row * (len(vectors) == 1) + v) % 2 for v in range(len(vectors))) for row in every)
    gathered = [(row, vector) for row in every for vector in vectors]
    count = len(gathered)
    sides = np.arange(2 ** (count - 1))[:, None] >> np.arange(count)[::-1] & 1
    sides = sides[abs(2 * sides.sum(axis=1) - count) <= 1]
    shared = _shared_sets(expansion, stride * rows, gathered)
    together = sum(np.einsum("ni,ij,nj->n", side, shared, side) for side in (sides, 1 - sides))
    best = sides[int(np.argmin(together))].reshape(len(every), -1)
    return tuple(tuple(int(tmu) for tmu in row) for row in best)


def _shared_sets(
    expansion: Geometry, band_rows: int, gathered: Sequence[tuple[int, Vector]]
) -> NDArray[np.float64]:
    """Of each two rows' vectors, how many lines lie in the same sets, over some bands and columns."""
    shared = np.zeros((len(gathered), len(gathered)))
    for band in range(_BANDS):
        for column in range(0, LANES, _COLUMNS):
            sets = np.zeros((len(gathered), L1_LINES))
            for number, (row, vector) in enumerate(gathered):
                pixel = (band_rows * band + row) * expansion.input_columns + column
                first = pixel // LANES * expansion.input_lines + vector.first
                sets[number, (first + np.arange(vector.channels)) % L1_LINES] = 1
            shared += sets @ sets.T
    return shared


def has_kernel(form: Form) -> bool:
    try:
        check(form)
    except ScheduleError:
        return False
    return True


@dataclass(frozen=True)
class Task:
    """Addresses of a group's lines, of a band's input by vectors, of its output and of its stream. `own`: the QPU's
    words of `vpm_columns`, where it has any.
    """

    lines: Address
    inputs: tuple[Address, ...]
    output: Address
    stream: Address
    own: tuple[Uniform, ...] = ()

    def words(self, before: Task | None) -> tuple[Uniform, ...]:
        """Behind another task."""
        if before is None or before.lines != self.lines:
            return (self.lines, *self.inputs, self.output, *self.own, self.stream)
        pairs = zip(self.inputs, before.inputs, strict=True)
        moves = (own.offset_bytes - old.offset_bytes for own, old in pairs)
        return (0, *moves, self.output, *self.own, self.stream)


def block_of(tasks: Sequence[Task]) -> tuple[Uniform, ...] | None:
    """A QPU's tasks."""
    return block_of_tasks(
        [task.words(tasks[number - 1] if number else None) for number, task in enumerate(tasks)]
    )


def group_lines(
    form: Form, source: PixelSource, weights: Sequence[FloatArray], channel: int
) -> NDArray[np.uint32]:
    """The lines of 16 channels from that one on: see the kernel."""
    expansion, bias, taps, window_bias = weights
    own = slice(channel, channel + LANES)
    lanes = np.arange(LANES)
    lines = [source.lane_bytes(vector) for vector in form.vectors]
    lines += [float_words(bias[own]), float_words(window_bias[own])]
    matrix = expansion[own].reshape(LANES, -1)
    for v, q, s in form.weights:
        vector = form.vectors[v]
        among = (lanes - SUMS * q) % vector.period  # the vector's channels
        present = among < vector.channels
        column = vector.first + np.minimum(among, vector.channels - 1)
        lines.append(float_words(np.where(present, matrix[(lanes + s) % LANES, column], np.float32(0))))
    lines += [float_words(tap) for tap in taps[own].reshape(LANES, -1).T]
    return np.concatenate(lines)


@dataclass(frozen=True)
class Walk:
    """Along a row of outputs: input column of the first step, and for each store its steps, its outputs, and how many
    columns older than these are kept.
    """

    first: int
    steps: tuple[int, ...]
    outputs: tuple[int, ...]
    older: tuple[int, ...]

    @staticmethod
    def of(window: Geometry, form: Form) -> Walk:
        left, columns = window.pads[1], window.output_columns
        if form.once:  # a first step, and then as many as there are rows for what is kept
            return Walk(-left, (1, *(KEPT_ROWS,) * -(-columns // KEPT_ROWS)), (), ())
        outputs = tuple(min(form.pixels, columns - f) for f in range(0, columns, form.pixels))
        # What lies left of the first step's column is outside: all its windows' sums are the bias.
        lead = -(-max(0, TAPS - 1 - left) // form.stride)
        lead += (lead + outputs[0]) % form.unrolled
        steps = [count + count % form.unrolled for count in outputs]
        steps[0] = outputs[0]
        older = tuple(form.pixels - count for count in steps)
        steps[0] += lead
        return Walk(TAPS - 1 - left - form.stride * lead, tuple(steps), outputs, older)


@dataclass(frozen=True)
class Band:
    """Output rows from `row` on."""

    found: Expanded
    stored: Geometry
    form: Form
    source: PixelSource
    row: int
    finishes: bool = True  # the row is one of the task's outputs
    keeps: bool = False  # (once) so is the next

    @property
    def first_pixel(self) -> int:
        """Of the input, of those that are read."""
        window = self.found.window
        return max(0, self.form.stride * self.row - window.pads[0]) * window.input_columns

    @property
    def output_bytes(self) -> int:
        """Where the block of the first output lies."""
        block = max(0, self.row) * self.stored.output_columns // LANES
        return self.stored.output_line_bytes(block, 0)

    def stream(self) -> NDArray[np.uint32]:
        """The words that all groups of channels read, padded to a line."""
        form, walk = self.form, Walk.of(self.found.window, self.form)
        places, highs = self._pixels(walk)
        # Behind the last pixel it is asked for again.
        asked = np.concatenate([places, np.repeat(places[-1:], form.ahead)])
        pixels = np.stack([asked[form.ahead :], highs], axis=1).reshape(sum(walk.steps), -1)
        words = [asked[: form.ahead]]
        if form.once:
            kept = LINE_BYTES * np.minimum(np.arange(len(pixels) + 1), self.stored.output_columns - 1)
            pixels = np.insert(pixels, 2 * form.asks_kept + 2, kept[1:], axis=1).astype(np.uint32)
            words = [np.insert(words[0], 1, kept[0]).astype(np.uint32)]
        clamp = float_words(np.array(bounds(self.found.op.epilogue), np.float32))
        step = first = 0
        stores = list(self._finished(walk))
        for number, (steps, outputs, older) in enumerate(stores):
            passes = pixels[step : step + steps].reshape(steps // form.unrolled, -1)
            more = np.arange(len(passes))[::-1, None] > 0
            words.append(np.concatenate([passes, more], axis=1, dtype=np.uint32).reshape(-1))
            step += steps
            if form.once:
                words.append(np.array([bool(outputs)], np.uint32))
            if outputs or not form.once:
                words += [clamp, self._pieces(first, outputs if self.finishes else 0, older)]
                first += outputs
            if form.once:
                words.append(self._kept(step - 1 - steps, steps))
            words.append(np.array([number < len(stores) - 1], np.uint32))
        words.append(np.zeros(-sum(map(len, words)) % LANES, np.uint32))
        return np.concatenate(words)

    def _finished(self, walk: Walk) -> Iterator[tuple[int, int, int]]:
        """Of each store its steps, the outputs that are finished by then, and how many older columns are kept."""
        if not self.form.once:
            yield from zip(walk.steps, walk.outputs, walk.older, strict=True)
            return
        waiting, columns = 0, self.stored.output_columns
        done = 0
        for number, steps in enumerate(walk.steps):
            waiting += steps * (number > 0)
            is_last = number == len(walk.steps) - 1
            if not number or (waiting < self.form.pixels and not is_last):
                yield steps, 0, 0
                continue
            outputs = min(waiting, columns - done)
            yield steps, outputs, self.form.pixels - waiting
            done, waiting = done + outputs, 0

    def _kept(self, first: int, count: int) -> NDArray[np.uint32]:
        """The words of a store of what is kept for outputs from that one on."""
        outputs = min(count, self.stored.output_columns - first) if first >= 0 else 0
        set_up = dma_store_rows(KEPT_ROW, outputs) if self.keeps and outputs else 0
        return np.array([set_up, LINE_BYTES * max(0, first)], np.uint32)

    def _pixels(self, walk: Walk) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
        """Of every pixel its place and its upper end."""
        window, form = self.found.window, self.form
        offsets = np.array([(pixel.row, pixel.column) for pixel in form.step])
        steps = np.arange(sum(walk.steps))[:, None]
        rows = form.stride * self.row - window.pads[0] + offsets[:, 0] + 0 * steps
        columns = walk.first + form.stride * steps + offsets[:, 1]
        inner_rows = np.clip(rows, 0, window.input_rows - 1)
        inner_columns = np.clip(columns, 0, window.input_columns - 1)
        pixels = inner_rows * window.input_columns + inner_columns
        places = self.source.pixel_bytes(pixels - self.first_pixel // LANES * LANES)
        present = (rows == inner_rows) & (columns == inner_columns)
        highs = np.where(present, np.float32(self.found.high), np.float32(0)).astype(np.float32)
        return places.reshape(-1).astype(np.uint32), float_words(highs.reshape(-1))

    def _pieces(self, first: int, outputs: int, lane: int) -> NDArray[np.uint32]:
        """The words of a store of that many outputs of each row."""
        words: list[int] = []
        for row in range(self.form.rows_stored):
            pixel = self.stored.output_columns * (self.row + row) + first
            for word in piece_words(self.stored, pixel, outputs, lane, range(LANES), LANES * row):
                assert not isinstance(word, float)
                words.append(word.offset_bytes - self.output_bytes if isinstance(word, Address) else word)
        return np.array(words, np.uint32)
