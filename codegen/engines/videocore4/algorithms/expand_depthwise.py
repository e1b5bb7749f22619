"""Chains of a pointwise convolution, the expansion, and the depthwise one that reads it: see the kernel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from codegen.algorithm_base import AlgorithmBase
from codegen.engines.videocore4.algorithms.gemm import is_pointwise
from codegen.engines.videocore4.algorithms.geometry import (
    UNBOUNDED,
    Geometry,
    bounds,
    busiest_share,
    dealt,
    starts,
)
from codegen.engines.videocore4.algorithms.images import for_each_image, images_of, work_of_images
from codegen.engines.videocore4.algorithms.phased import both
from codegen.engines.videocore4.algorithms.pixel_source import PixelSource
from codegen.engines.videocore4.algorithms.row_pieces import piece_words
from codegen.engines.videocore4.algorithms.tasks import block_of_tasks
from codegen.engines.videocore4.algorithms.window import depthwise_window
from codegen.engines.videocore4.algorithms.words import float_words
from codegen.engines.videocore4.kernels.expand_depthwise import (
    LEAST_CHANNELS,
    MOST_CHANNELS,
    SUMS,
    TAPS,
    Form,
    Vector,
    check,
    expand_depthwise_kernel,
    input_rows,
    step_instructions,
    vectors_of,
)
from codegen.engines.videocore4.kernels.results import is_clamped
from codegen.engines.videocore4.kernels.row_pieces import PIECES, vpm_columns, vpm_slots
from codegen.engines.videocore4.layer import Address, QpuLayer, Uniform
from codegen.engines.videocore4.layout import LANES, LINE_BYTES
from codegen.errors import ScheduleError
from codegen.expression import RESULT, as_clamp
from codegen.graph import LayerSpec
from codegen.operators.chain import pair_of
from codegen.operators.conv2d import Conv2d
from codegen.program import WORD_BYTES
from codegen.schedule import Axis, AxisNames, Choice, Point, Space, Value, Work, values
from codegen.target import Target
from codegen.tensor import FloatArray

SOURCES = INPUT, COPY = "input", "copy"
ROWS = (1, 2, 3)
L1_LINES = 64  # of a TMU's cache, which is direct mapped
_BANDS, _COLUMNS = 4, 4  # what bands and columns are looked at
PIXELS = (4, 5, 6, 7, 8, 10, 14)


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
        form = Form(channels, stride, rows, pixels, _tmus(self.expansion, stride, rows, point["source"]))
        own = replace(form, own=True)
        alone = rows == images_of(spec) == 1 and target.qpus <= vpm_slots(pixels)
        return own if alone and _has_kernel(own) else form

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
    if source == COPY:
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


class QpuExpandDepthwise(AlgorithmBase):
    """A pointwise convolution of few channels, clamped from 0 on, and the 3x3 depthwise one with stride 1 or 2 that
    reads it, in one kernel: what lies between them is never stored.

    Axes:
        rows: output rows of a band, along which a task of 16 channels goes
        pixels: columns of it that are stored together
        source: where pixels are read: from the input, 16 lines a time, or from a copy that is written first, in which
            the channels of a pixel lie beside each other
    """

    name = "qpu_expand_depthwise"
    engine: str = "videocore4"
    axis_names: ClassVar[AxisNames] = {"source": SOURCES}

    def computes(self, spec: LayerSpec, target: Target) -> bool:
        found = Expanded.of(spec)
        return (
            found is not None
            and target.has_qpus
            and found.window.strides in ((1, 1), (2, 2))
            and LEAST_CHANNELS <= found.expansion.input_channels <= MOST_CHANNELS
            and found.window.output_channels >= LANES
            and bool(_forms(found, spec, target))
        )

    def space(self, spec: LayerSpec, target: Target) -> Space:
        forms = _forms(Expanded.require(spec), spec, target)
        return Space(
            (
                Axis("rows", tuple(sorted({form.rows for form in forms}))),
                Axis("pixels", tuple(sorted({form.pixels for form in forms}))),
                Axis("source", SOURCES),
            )
        )

    def choice_at(self, spec: LayerSpec, target: Target, point: Point) -> Choice:
        check(Expanded.require(spec).form(point, spec, target))
        return Choice(
            engine=self.engine,
            algorithm=self.name,
            split=values({}),
            tile=values({axis: point[axis] for axis in ("rows", "pixels", "source")}),
            input_layouts=("pixel16",),
            output_layouts=("pixel16",),
        )

    def work(self, spec: LayerSpec, target: Target, choice: Choice) -> Work:
        found = Expanded.require(spec)
        form, window, expansion = found.form(choice.tiles, spec, target), found.window, found.expansion
        bands = len(starts(window.output_rows, form.rows))
        count = bands * len(found.groups)
        walk = _Walk.of(window, form)
        steps, stores = sum(walk.steps), len(walk.steps)
        lines = len(form.vectors) + 2 + len(form.weights) + TAPS * TAPS
        results = stores * form.rows * form.pixels
        moved = form.rows * (form.pixels - form.unrolled) * steps / form.unrolled
        pixels = steps * len(form.step)
        per_task = steps * (step_instructions(form) + 8.0) + 0.5 * moved + 2.0 * results
        per_task += 30.0 * stores + 80.0 + 3 * lines
        input_bytes = spec.inputs[0].size_bytes // images_of(spec)
        read_rows = bands * form.input_rows / expansion.input_rows
        work = Work(
            macs=float(spec.macs // images_of(spec)),
            alu_instructions=count
            * (
                steps * (step_instructions(form) + 8.0)
                + 0.5 * moved
                + 2.0 * results
                + 30.0 * stores
                + 80.0
                + 3 * lines
            ),
            load_instructions=float(count * (pixels * len(form.vectors) + lines)),
            uniform_words=float(count * (2 * pixels + stores * (6 * form.rows + 4) + 10)),
            store_instructions=float(count * results),
            dma_stores=float(count * stores * form.rows * PIECES),
            unique_bytes_read=float(input_bytes + sum(tensor.size_bytes for tensor in spec.weights)),
            streamed_bytes_read=input_bytes * read_rows * -(-len(found.groups) // target.qpus)
            + float(count * lines * LINE_BYTES),
            bytes_written=float(WORD_BYTES * window.output_pixels * window.output_channels),
            balance=busiest_share(dealt(count, target.qpus)),
            working_set_bytes=float(2 * form.input_rows * form.channels * LINE_BYTES * target.qpus),
        )
        if choice.tiles["source"] == COPY:
            work = both(work, _source(found, form, choice).copying())
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
        found = Expanded.require(spec)
        form = found.form(choice.tiles, spec, target)
        source = _source(found, form, choice)
        stored = found.window.within(output_lines)
        packed = [_group_lines(form, source, weights, channel) for channel in found.groups]
        group_bytes = packed[0].nbytes
        size = group_bytes * len(packed)
        streams: dict[bytes, int] = {}  # where they lie
        tasks: list[_Task] = []
        for row in starts(stored.output_rows, form.rows):
            band = _Band(found, stored, form, source, row)
            stream = band.stream()
            image = stream.tobytes()
            if image not in streams:
                streams[image] = size
                packed.append(stream)
                size += stream.nbytes
            tasks += [
                _Task(
                    Address("weights", group * group_bytes),
                    tuple(source.of_vector(v, band.first_pixel) for v in range(len(form.vectors))),
                    Address("output", band.output_bytes + LINE_BYTES * channel),
                    Address("weights", streams[image]),
                )
                for group, channel in enumerate(found.groups)
            ]
        own = [vpm_columns(q, form.pixels) if form.own else () for q in range(target.qpus)]
        blocks = [
            _block([replace(task, own=own[q]) for task in tasks[q :: target.qpus]])
            for q in range(target.qpus)
        ]
        code = expand_depthwise_kernel(form).words
        layer = QpuLayer(code, np.concatenate(packed), tuple(blocks))
        layer = for_each_image(layer, spec, choice, output_lines, source.copy_bytes)
        if not source.copied:
            return layer
        size = source.copy_bytes * images_of(spec)
        copy = source.copy(target, images_of(spec))
        return replace(copy, then=replace(layer, scratch_bytes=size), scratch_bytes=size)


def _source(found: Expanded, form: Form, choice: Choice) -> PixelSource:
    return PixelSource(found.expansion, form.vectors, choice.tiles["source"] == COPY)


def _forms(found: Expanded, spec: LayerSpec, target: Target) -> list[Form]:
    """Those that have a kernel."""
    window = found.window
    forms = (
        found.form({"rows": rows, "pixels": pixels, "source": INPUT}, spec, target)
        for rows in ROWS
        if rows <= window.output_rows
        for pixels in PIXELS
        if pixels <= max(window.output_columns, min(PIXELS))
    )
    return [form for form in forms if _has_kernel(form)]


def _has_kernel(form: Form) -> bool:
    try:
        check(form)
    except ScheduleError:
        return False
    return True


@dataclass(frozen=True)
class _Task:
    """Addresses of a group's lines, of a band's input by vectors, of its output and of its stream. `own`: the QPU's
    words of `vpm_columns`, where it has any.
    """

    lines: Address
    inputs: tuple[Address, ...]
    output: Address
    stream: Address
    own: tuple[int, ...] = ()

    def words(self, before: _Task | None) -> tuple[Uniform, ...]:
        """Behind another task."""
        if before is None or before.lines != self.lines:
            return (self.lines, *self.inputs, self.output, *self.own, self.stream)
        pairs = zip(self.inputs, before.inputs, strict=True)
        moves = (own.offset_bytes - old.offset_bytes for own, old in pairs)
        return (0, *moves, self.output, *self.own, self.stream)


def _block(tasks: Sequence[_Task]) -> tuple[Uniform, ...] | None:
    """A QPU's tasks."""
    return block_of_tasks(
        [task.words(tasks[number - 1] if number else None) for number, task in enumerate(tasks)]
    )


def _group_lines(
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
class _Walk:
    """Along a row of outputs: input column of the first step, and for each store its steps, its outputs, and how many
    columns older than these are kept.
    """

    first: int
    steps: tuple[int, ...]
    outputs: tuple[int, ...]
    older: tuple[int, ...]

    @staticmethod
    def of(window: Geometry, form: Form) -> _Walk:
        left, columns = window.pads[1], window.output_columns
        outputs = tuple(min(form.pixels, columns - f) for f in range(0, columns, form.pixels))
        # What lies left of the first step's column is outside: all its windows' sums are the bias.
        lead = -(-max(0, TAPS - 1 - left) // form.stride)
        lead += (lead + outputs[0]) % form.unrolled
        steps = [count + count % form.unrolled for count in outputs]
        steps[0] = outputs[0]
        older = tuple(form.pixels - count for count in steps)
        steps[0] += lead
        return _Walk(TAPS - 1 - left - form.stride * lead, tuple(steps), outputs, older)


@dataclass(frozen=True)
class _Band:
    """Output rows from `row` on."""

    found: Expanded
    stored: Geometry
    form: Form
    source: PixelSource
    row: int

    @property
    def first_pixel(self) -> int:
        """Of the input, of those that are read."""
        window = self.found.window
        return max(0, self.form.stride * self.row - window.pads[0]) * window.input_columns

    @property
    def output_bytes(self) -> int:
        """Where the block of the first output lies."""
        block = self.row * self.stored.output_columns // LANES
        return self.stored.output_line_bytes(block, 0)

    def stream(self) -> NDArray[np.uint32]:
        """The words that all groups of channels read, padded to a line."""
        form, walk = self.form, _Walk.of(self.found.window, self.form)
        places, highs = self._pixels(walk)
        # Behind the last pixel it is asked for again.
        asked = np.concatenate([places, np.repeat(places[-1:], form.ahead)])
        pixels = np.stack([asked[form.ahead :], highs], axis=1).reshape(-1)
        words = [asked[: form.ahead]]
        clamp = float_words(np.array(bounds(self.found.op.epilogue), np.float32))
        step = first = 0
        stores = zip(walk.steps, walk.outputs, walk.older, strict=True)
        for number, (steps, outputs, older) in enumerate(stores):
            begin, end = (2 * len(form.step) * at for at in (step, step + steps))
            passes = pixels[begin:end].reshape(steps // form.unrolled, -1)
            more = np.arange(len(passes))[::-1, None] > 0
            words += [np.concatenate([passes, more], axis=1, dtype=np.uint32).reshape(-1), clamp]
            words.append(self._pieces(first, outputs, older))
            words.append(np.array([number < len(walk.steps) - 1], np.uint32))
            step, first = step + steps, first + outputs
        words.append(np.zeros(-sum(map(len, words)) % LANES, np.uint32))
        return np.concatenate(words)

    def _pixels(self, walk: _Walk) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
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
        for row in range(self.form.rows):
            pixel = self.stored.output_columns * (self.row + row) + first
            for word in piece_words(self.stored, pixel, outputs, lane, range(LANES), LANES * row):
                assert not isinstance(word, float)
                words.append(word.offset_bytes - self.output_bytes if isinstance(word, Address) else word)
        return np.array(words, np.uint32)
