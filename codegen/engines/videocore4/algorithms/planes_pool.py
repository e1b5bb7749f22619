"""Chains of a convolution of few planes with many taps and the pool that reads it: see the kernel."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from codegen.algorithm_base import AlgorithmBase
from codegen.engines.videocore4.algorithms.geometry import (
    UNBOUNDED,
    Geometry,
    bounds,
    busiest_share,
    starts,
)
from codegen.engines.videocore4.algorithms.images import image_bytes, images_of
from codegen.engines.videocore4.algorithms.row_pieces import piece_words
from codegen.engines.videocore4.algorithms.stem import MOST_PADS, Stem
from codegen.engines.videocore4.algorithms.words import float_words, from_base, plain_words
from codegen.engines.videocore4.kernels.channel_lanes import CHANNELS, VECTORS
from codegen.engines.videocore4.kernels.planes_pool import (
    Event,
    Form,
    join_instructions,
    planes_pool_kernel,
    row_instructions,
)
from codegen.engines.videocore4.kernels.row_pieces import PIECES
from codegen.engines.videocore4.layer import Address, QpuLayer, Uniform
from codegen.engines.videocore4.layout import LANES, LINE_BYTES
from codegen.errors import ScheduleError
from codegen.graph import LayerSpec
from codegen.program import WORD_BYTES
from codegen.schedule import Axis, Choice, Point, Space, Work, values
from codegen.target import Target
from codegen.tensor import FloatArray

PIXELS = (3, 4, 5, 6, 7)
MOST_CHANNELS = 4  # as for planes alone
_INSTRUCTIONS_OF_TASK = 150
_Words = NDArray[np.uint32]


@dataclass(frozen=True)
class _Rows:
    """Rows of the convolution's output that some rows of outputs need, and what each is to these."""

    needed: tuple[int, ...]
    begins: frozenset[int]
    ends: dict[int, int]  # the row of outputs that it finishes


@dataclass(frozen=True)
class _Strips:
    """The strips of `pixels` columns of outputs, and the rows that each goes down."""

    found: Stem
    pixels: int

    @property
    def _conv(self) -> Geometry:
        return self.found.conv

    @cached_property
    def columns(self) -> tuple[int, ...]:
        """The first of each, of outputs."""
        return starts(self.found.pool.output_columns, self.pixels)

    @cached_property
    def form(self) -> Form:
        conv, pool = self._conv, self.found.pool
        columns = (self.pixels - 1) * pool.strides[1] + pool.kernel[1]
        outside = tuple(
            column
            for column in range(columns)
            if any(not 0 <= self.first_column(strip) + column < conv.output_columns for strip in self.columns)
        )
        return Form(conv.kernel[1], conv.strides[1], pool.kernel[1], pool.strides[1], self.pixels, outside)

    def first_column(self, strip: int) -> int:
        """Of the convolution's output, from that column of outputs on."""
        return self.found.pool.strides[1] * strip - self.found.pool.pads[1]

    def first_input_column(self, strip: int) -> int:
        return self._conv.strides[1] * self.first_column(strip) - self._conv.pads[1]

    def rows(self, outputs: range) -> _Rows:
        needed: set[int] = set()
        begins, ends = set(), {}
        for output in outputs:
            own = self._rows_of(output)
            needed |= set(own)
            begins.add(own[0])
            ends[own[-1]] = output
        return _Rows(tuple(sorted(needed)), frozenset(begins), ends)

    def _rows_of(self, output: int) -> range:
        pool = self.found.pool
        first = pool.strides[0] * output - pool.pads[0]
        return range(max(0, first), min(self._conv.output_rows, first + pool.kernel[0]))

    @property
    def are_rows_apart(self) -> bool:
        """Whether a row finishes one row of outputs at most, and another than it begins; and each has an input."""
        own = [self._rows_of(output) for output in range(self.found.pool.output_rows)]
        apart = all(len(rows) > 1 for rows in own) and all(
            before[-1] <= after[0] and before[-1] < after[-1] for before, after in pairwise(own)
        )
        return apart and all(self.inputs(row) for row in range(self._conv.output_rows))

    def inputs(self, row: int) -> tuple[tuple[int, int], ...]:
        """(plane, row of the window) of each row of inputs that a row of the convolution's output meets."""
        conv = self._conv
        first = conv.strides[0] * row - conv.pads[0]
        return tuple(
            (channel, down)
            for channel in range(conv.input_channels)
            for down in range(conv.kernel[0])
            if 0 <= first + down < conv.input_rows
        )

    def place(self, row: int) -> int:
        """Bytes from the input's start to the row of inputs that a row's first taps meet, be there one or not."""
        conv = self._conv
        return WORD_BYTES * conv.input_columns * (conv.strides[0] * row - conv.pads[0])

    def bank(self, met: tuple[int, int]) -> int:
        return met[0] * self._conv.kernel[0] + met[1]

    def word(self, event: Event, before: int, met: tuple[int, int], ahead: int) -> int:
        """Of an event, which is about the row of inputs `met` of an output row so many bytes `ahead`; `before`: number
        of the weights that were used last.
        """
        if event.line is None:
            return LINE_BYTES * len(self.form.weights) * (self.bank(met) - before - 1)
        conv = self._conv
        plane = WORD_BYTES * conv.input_columns * (met[0] * conv.input_rows + met[1])
        return ahead + plane + LINE_BYTES * event.line

    def first_words(self, row: int) -> list[int]:
        met = self.inputs(row)[0]
        return [self.word(event, -1, met, 0) for event in self.form.first_events]

    def list_of(self, row: int, following: int | None) -> tuple[int, ...]:
        """The kernel's list of a row of the convolution's output; behind a task's last row it goes nowhere."""
        own = self.inputs(row)
        words: list[int] = []
        for number, met in enumerate(own):
            if number < len(own) - 1:
                after, ahead = own[number + 1], 0
            elif following is None:
                after, ahead = own[0], 0
            else:
                after, ahead = self.inputs(following)[0], self.place(following) - self.place(row)
            for event in self.form.events:
                if event.is_next:
                    words.append(self.word(event, self.bank(met), after, ahead))
                else:
                    words.append(self.word(event, self.bank(own[number - 1]) if number else -1, met, 0))
            words.append(int(number < len(own) - 1))
        return tuple(words)

    def masks(self, strip: int) -> _Words:
        """Of each line all bits in lanes inside the input."""
        columns = self.first_input_column(strip) + np.arange(LANES * self.form.row.lines)
        inside = (columns >= 0) & (columns < self._conv.input_columns)
        return np.where(inside, np.uint32(0xFFFFFFFF), np.uint32(0))

    def upper_ends(self, strip: int) -> list[float]:
        first, end = self.first_column(strip), self._conv.output_columns
        return [UNBOUNDED if 0 <= first + column < end else -UNBOUNDED for column in self.form.outside]


@dataclass(frozen=True)
class _Task:
    """Rows of outputs of a strip, of the channels from that one on."""

    image: int
    channel: int
    strip: int
    rows: range


def _tasks(strips: _Strips, images: int, target: Target) -> list[list[_Task]]:
    """Of each QPU: an even share of all rows, in as few tasks as there may be."""
    rows = strips.found.pool.output_rows
    places = [
        (image, channel, strip)
        for image in range(images)
        for channel in starts(strips.found.pool.output_channels, CHANNELS)
        for strip in strips.columns
    ]
    total = rows * len(places)
    ends = [total * q // target.qpus for q in range(target.qpus + 1)]
    return [list(_between(places, rows, first, end)) for first, end in pairwise(ends)]


def _between(places: Sequence[tuple[int, int, int]], rows: int, first: int, end: int) -> Iterator[_Task]:
    while first < end:
        place, row = divmod(first, rows)
        last = min(rows, row + end - first)
        yield _Task(*places[place], range(row, last))
        first += last - row


class QpuPlanesPool(AlgorithmBase):
    """A convolution of up to 4 planes, clamped or not, and the maximum pool that reads it, in one kernel with 32 output
    channels on the lanes: what lies between them is never stored, and of the weights one row of taps is at hand.

    Axes:
        pixels: output columns of a strip, down which a task of 32 channels goes
    """

    name = "qpu_planes_pool"
    engine: str = "videocore4"
    adds_bias_last = True

    def computes(self, spec: LayerSpec, target: Target) -> bool:
        found = Stem.of(spec)
        return (
            found is not None
            and target.has_qpus
            and found.conv.input_channels <= MOST_CHANNELS
            and max(*found.conv.pads, *found.pool.pads) <= MOST_PADS
            and found.pool.output_channels >= CHANNELS
            and bool(_pixels(found))
        )

    def space(self, spec: LayerSpec, target: Target) -> Space:
        return Space((Axis("pixels", _pixels(Stem.require(spec))),))

    def choice_at(self, spec: LayerSpec, target: Target, point: Point) -> Choice:
        planes_pool_kernel(_Strips(Stem.require(spec), point["pixels"]).form)  # refuses what has no registers
        return Choice(
            engine=self.engine,
            algorithm=self.name,
            split=values({}),
            tile=values({"pixels": point["pixels"]}),
            input_layouts=("nchw",),
            output_layouts=("pixel16",),
        )

    def work(self, spec: LayerSpec, target: Target, choice: Choice) -> Work:
        found = Stem.require(spec)
        conv, pool, images = found.conv, found.pool, images_of(spec)
        strips = _Strips(found, choice.tiles["pixels"])
        form = strips.form
        shares = []
        tasks = output_rows = rows = stores = 0
        for own in _tasks(strips, images, target):
            done = [strips.rows(task.rows) for task in own]
            inputs = sum(len(strips.inputs(row)) for part in done for row in part.needed)
            shares.append(inputs)
            rows += inputs
            tasks += len(own)
            output_rows += sum(len(part.needed) for part in done)
            stores += sum(len(part.ends) for part in done)
        vectors = stores * VECTORS * strips.pixels
        lines = len(form.fetches)
        input_bytes = spec.inputs[0].size_bytes
        weight_bytes = sum(tensor.size_bytes for tensor in spec.weights)
        return Work(
            macs=float(images * conv.output_pixels * conv.output_channels * conv.input_channels * conv.taps),
            alu_instructions=rows * row_instructions(form)
            + output_rows * join_instructions(form)
            + 3.0 * vectors
            + 30.0 * stores
            + float(_INSTRUCTIONS_OF_TASK * tasks),
            load_instructions=float(rows * lines + tasks * (lines + form.row.lines + VECTORS)),
            uniform_words=float(
                rows * (len(form.events) + 1)
                + output_rows * form.words_of_output_row()
                + stores * form.words_of_store()
                + tasks * 12
            ),
            store_instructions=float(vectors),
            dma_stores=float(stores * VECTORS * (PIECES if pool.output_columns % LANES else 1)),
            unique_bytes_read=float(input_bytes + weight_bytes),
            streamed_bytes_read=float(input_bytes * -(-pool.output_channels // CHANNELS) + weight_bytes),
            bytes_written=float(spec.output.size_bytes),
            balance=busiest_share(shares),
            working_set_bytes=float(
                WORD_BYTES * conv.input_columns * conv.input_channels * conv.kernel[0] + weight_bytes
            ),
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
        found = Stem.require(spec)
        strips = _Strips(found, choice.tiles["pixels"])
        data = _Data([], {})
        groups = {
            channel: data.place(_group_lines(strips.form, weights, channel))
            for channel in starts(found.pool.output_channels, CHANNELS)
        }
        stored, clamp = found.pool.within(output_lines), bounds(found.op.epilogue)
        step_in = image_bytes(choice.input_layouts[0], spec.inputs[0])
        step_out = image_bytes(choice.output_layout, spec.output, output_lines)

        def words_of(task: _Task, position: int) -> list[Uniform]:
            rows = strips.rows(task.rows)
            masks = data.place(strips.masks(task.strip))
            first = step_in * task.image + strips.place(rows.needed[0])
            words: list[Uniform] = [
                Address("weights", groups[task.channel]),
                *(Address("weights", masks + LINE_BYTES * line) for line in range(strips.form.row.lines)),
                Address("input", first + WORD_BYTES * strips.first_input_column(task.strip)),
                Address("output", step_out * task.image + LINE_BYTES * task.channel),
                *strips.first_words(rows.needed[0]),
            ]
            for row, following in zip(rows.needed, (*rows.needed[1:], None), strict=True):
                words.append(Address("block", WORD_BYTES * (position + len(words) + 2)))
                words.append(Address("weights", data.place(plain_words(strips.list_of(row, following)))))
                words += strips.upper_ends(task.strip)
                words += [int(row in rows.begins), int(row in rows.ends)]
                if row in rows.ends:
                    at = stored.output_columns * rows.ends[row] + task.strip
                    words += [*clamp, *_stores(stored, at, strips.pixels)]
                words.append(int(following is not None))
                if following is not None:
                    words.append(strips.place(following) - strips.place(row))
            return words

        blocks: list[tuple[Uniform, ...] | None] = []
        for own in _tasks(strips, images_of(spec), target):
            block: list[Uniform] = []
            for number, task in enumerate(own):
                block += words_of(task, len(block))
                block.append(int(number < len(own) - 1))
            blocks.append(tuple(block) if own else None)
        return QpuLayer(planes_pool_kernel(strips.form).words, np.concatenate(data.parts), tuple(blocks))

    def order_of_sums(self, spec: LayerSpec, choice: Choice) -> NDArray[np.intp]:
        """Of the convolution: channel by channel, row by row of the window."""
        conv = Stem.require(spec).conv
        return np.arange(conv.input_channels * conv.taps).reshape(conv.input_channels, *conv.kernel)


@dataclass(frozen=True)
class _Data:
    """What all QPUs read: each part once, from a line's begin on."""

    parts: list[_Words]
    _places: dict[bytes, int]

    def place(self, words: _Words) -> int:
        """Its offset in bytes."""
        key = words.tobytes()
        if key not in self._places:
            self._places[key] = sum(part.nbytes for part in self.parts)
            self.parts.append(np.pad(words, (0, -len(words) % LANES)))
        return self._places[key]


def _stores(stored: Geometry, first: int, pixels: int) -> list[Uniform]:
    """The words of a row of outputs, whose addresses are from the output's."""
    words: list[Uniform] = []
    for vector in range(VECTORS):
        channels = range(LANES * vector, LANES * (vector + 1))
        words += piece_words(stored, first, pixels, 0, channels, LANES * vector)
    return from_base(words)


def _group_lines(form: Form, weights: Sequence[FloatArray], channel: int) -> _Words:
    """The lines of 32 channels from that one on: biases, then weights [plane and row of the window][tap and vector]."""
    kernel, bias = weights[:2]
    parts = [slice(channel + LANES * vector, channel + LANES * (vector + 1)) for vector in range(VECTORS)]
    lines = [bias[part] for part in parts]
    _, planes, down, _ = kernel.shape
    for plane in range(planes):
        for row in range(down):
            lines += [kernel[parts[vector], plane, row, tap] for vector, tap in form.weights]
    return float_words(np.concatenate(lines))


@cache
def _pixels(found: Stem) -> tuple[int, ...]:
    """Of strips that have a kernel, and rows that it takes."""
    return tuple(
        pixels
        for pixels in PIXELS
        if pixels <= found.pool.output_columns
        and _Strips(found, pixels).are_rows_apart
        and _has_kernel(_Strips(found, pixels).form)
    )


def _has_kernel(form: Form) -> bool:
    try:
        planes_pool_kernel(form)
    except ScheduleError:
        return False
    return True
