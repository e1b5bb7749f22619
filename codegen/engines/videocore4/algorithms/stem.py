"""Chains of a convolution of few input channels and the pool that reads it: see the kernel."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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
from codegen.engines.videocore4.algorithms.images import image_bytes, images_of, work_of_images
from codegen.engines.videocore4.algorithms.row_pieces import piece_words
from codegen.engines.videocore4.algorithms.tasks import block_of_tasks
from codegen.engines.videocore4.algorithms.words import float_words, from_base, plain_words
from codegen.engines.videocore4.kernels.results import coded
from codegen.engines.videocore4.kernels.row_pieces import PIECES, vpm_columns, vpm_slots
from codegen.engines.videocore4.kernels.stem import (
    MOST_LINES,
    Form,
    row_instructions,
    stem_kernel,
)
from codegen.engines.videocore4.layer import Address, QpuLayer, Uniform
from codegen.engines.videocore4.layout import LANES, LINE_BYTES
from codegen.errors import ScheduleError
from codegen.expression import RESULT
from codegen.graph import LayerSpec
from codegen.operators.chain import pair_of
from codegen.operators.conv2d import Conv2d
from codegen.operators.pool2d import Pool2d
from codegen.program import WORD_BYTES
from codegen.schedule import Axis, Choice, Point, Space, Work, values
from codegen.target import Target
from codegen.tensor import FloatArray

PIXELS = (2, 3, 4, 5)
MOST_PADS = 8  # what lies before the first pixel is smaller than a guard
PARTS = (1, 2, 3, 4, 6, 8)
_Words = NDArray[np.uint32]


@dataclass(frozen=True)
class Stem:
    """The convolution `conv`, clamped or not, and the `pool` that reads it."""

    conv: Geometry
    op: Conv2d
    pool: Geometry

    @staticmethod
    @cache
    def of(spec: LayerSpec) -> Stem | None:
        """None where the layer is no such chain, or one that the kernel does not compute."""
        pair = pair_of(spec)
        if pair is None:
            return None
        first, second = pair
        conv, pool = Geometry.of(first), Geometry.of(second)
        if conv is None or pool is None or not isinstance(first.op, Conv2d) or first.op.groups != 1:
            return None
        if not isinstance(second.op, Pool2d) or second.op.kind != "max" or second.op.epilogue != RESULT:
            return None
        if coded(first.op.epilogue) is not None or conv.dilations != (1, 1) or pool.dilations != (1, 1):
            return None
        if pool.kernel[0] > pool.strides[0] + 1:  # more rows of outputs under way than one
            return None
        return Stem(conv, first.op, pool)

    @staticmethod
    def require(spec: LayerSpec) -> Stem:
        """Raises ScheduleError where the layer is no such chain."""
        found = Stem.of(spec)
        if found is None:
            raise ScheduleError(f"no convolution of few channels with a pool: {spec.describe()}")
        return found

    @property
    def groups(self) -> tuple[int, ...]:
        """First channels."""
        return starts(self.pool.output_channels, LANES)

    def form(self, pixels: int) -> Form:
        return Form(
            self.conv.input_channels,
            self.conv.kernel,
            self.conv.strides,
            self.pool.kernel,
            self.pool.strides[1],
            pixels,
            _is_padded(self.conv),
            _is_padded(self.pool),
        )

    def strips(self, pixels: int, parts: int) -> Iterator[_Strip]:
        """Those of one image, by parts of rows."""
        ends = [self.pool.output_rows * part // parts for part in range(parts + 1)]
        for first, end in pairwise(ends):
            for column in starts(self.pool.output_columns, pixels):
                yield _Strip(self, pixels, column, range(first, end))


def _is_padded(window: Geometry) -> bool:
    """Whether windows reach beyond the input."""
    sizes = (window.output_rows, window.input_rows), (window.output_columns, window.input_columns)
    return any(
        begin > 0 or (outputs - 1) * stride + taps > inputs
        for (outputs, inputs), stride, begin, taps in zip(
            sizes, window.strides, window.pads[:2], window.kernel, strict=True
        )
    )


class QpuStem(AlgorithmBase):
    """A convolution of few input channels, clamped or not, and the maximum pool that reads it, in one kernel: what lies
    between them is never stored.

    Axes:
        pixels: output columns of a strip, down which a task of 16 channels goes
        parts: of the rows, each a task of its own
    """

    name = "qpu_stem"
    engine: str = "videocore4"

    def computes(self, spec: LayerSpec, target: Target) -> bool:
        found = Stem.of(spec)
        return (
            found is not None
            and target.has_qpus
            and found.conv.input_channels <= MOST_LINES
            and max(*found.conv.pads, *found.pool.pads) <= MOST_PADS
            and found.pool.output_channels >= LANES
            and bool(_pixels(found, target))
        )

    def space(self, spec: LayerSpec, target: Target) -> Space:
        found = Stem.require(spec)
        rows = found.pool.output_rows
        return Space(
            (
                Axis("pixels", _pixels(found, target)),
                Axis("parts", tuple(parts for parts in PARTS if parts <= rows)),
            )
        )

    def choice_at(self, spec: LayerSpec, target: Target, point: Point) -> Choice:
        stem_kernel(Stem.require(spec).form(point["pixels"]))  # refuses what has no registers
        return Choice(
            engine=self.engine,
            algorithm=self.name,
            split=values({}),
            tile=values({axis: point[axis] for axis in ("pixels", "parts")}),
            input_layouts=("nchw",),
            output_layouts=("pixel16",),
        )

    def work(self, spec: LayerSpec, target: Target, choice: Choice) -> Work:
        found = Stem.require(spec)
        conv, pool, pixels = found.conv, found.pool, choice.tiles["pixels"]
        form = found.form(pixels)
        strips = list(found.strips(pixels, choice.tiles["parts"]))
        groups = len(found.groups)
        count = len(strips) * groups
        rows = groups * sum(len(strip.passes) for strip in strips)
        stores = groups * sum(len(strip.rows) for strip in strips)
        lines = 1 + len(form.weights)
        gathered = form.strides[0] * form.channels * form.lines
        words = form.words_of_row() * rows + form.words_of_store() * stores
        input_bytes = spec.inputs[0].size_bytes // images_of(spec)
        work = Work(
            macs=float(conv.output_pixels * conv.output_channels * len(form.weights)),
            alu_instructions=rows * row_instructions(form)
            + stores * (3.0 * pixels + 40.0)
            + count * (60.0 + 3 * lines),
            load_instructions=float(rows * gathered + count * lines),
            uniform_words=float(words + 10 * count),
            store_instructions=float(stores * pixels),
            dma_stores=float(stores * (PIECES if pool.output_columns % LANES else 1)),
            unique_bytes_read=float(input_bytes + sum(tensor.size_bytes for tensor in spec.weights)),
            streamed_bytes_read=float(
                input_bytes * max(1.0, LANES * form.lines * len(strips) / conv.input_columns / 2)
                + WORD_BYTES * words / groups
                + LINE_BYTES * lines * count
            ),
            bytes_written=float(WORD_BYTES * pool.output_pixels * pool.output_channels),
            balance=busiest_share(dealt(count, target.qpus)),
            working_set_bytes=float(2 * gathered * LINE_BYTES * target.qpus),
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
        found, pixels = Stem.require(spec), choice.tiles["pixels"]
        form = found.form(pixels)
        packed = [_group_lines(form, weights, channel) for channel in found.groups]
        group_bytes, size = packed[0].nbytes, sum(part.nbytes for part in packed)
        stored = found.pool.within(output_lines)
        tasks: list[tuple[Uniform, ...]] = []
        for strip in found.strips(pixels, choice.tiles["parts"]):
            masks = strip.masks(form)
            packed += [masks, strip.stream(form, stored)]
            mask_words = [Address("weights", size + LINE_BYTES * n) for n in range(len(masks) // LANES)]
            for group, channel in enumerate(found.groups):
                tasks.append(
                    (
                        Address("weights", group * group_bytes),
                        Address("input", WORD_BYTES * strip.first_input_column),
                        *mask_words,
                        strip.plane_step(form),
                        Address("output", LINE_BYTES * channel),
                        Address("weights", size + masks.nbytes),
                    )
                )
            size += masks.nbytes + packed[-1].nbytes
        every = _of_images(tasks, spec, choice, output_lines)
        slots = vpm_slots(pixels)
        blocks = [
            block_of_tasks([(*vpm_columns(q % slots, pixels), *task) for task in every[q :: target.qpus]])
            for q in range(target.qpus)
        ]
        return QpuLayer(stem_kernel(form).words, np.concatenate(packed), tuple(blocks))


def _pixels(found: Stem, target: Target) -> tuple[int, ...]:
    """Of strips that have a kernel, and columns of the VPM for every QPU."""
    return tuple(
        pixels
        for pixels in PIXELS
        if pixels <= found.pool.output_columns
        and target.qpus <= vpm_slots(pixels)
        and _has_kernel(found.form(pixels))
    )


def _has_kernel(form: Form) -> bool:
    try:
        stem_kernel(form)
    except ScheduleError:
        return False
    return True


def _of_images(
    tasks: Sequence[tuple[Uniform, ...]], spec: LayerSpec, choice: Choice, output_lines: int | None
) -> list[tuple[Uniform, ...]]:
    """The tasks of a batch from those of its first image. All are of one round, as QPUs have columns of the VPM of
    their own.
    """
    steps = {
        "input": image_bytes(choice.input_layouts[0], spec.inputs[0]),
        "output": image_bytes(choice.output_layout, spec.output, output_lines),
    }
    return [
        tuple(
            Address(word.base, word.offset_bytes + image * steps.get(word.base, 0))
            if isinstance(word, Address)
            else word
            for word in task
        )
        for image in range(images_of(spec))
        for task in tasks
    ]


def _group_lines(form: Form, weights: Sequence[FloatArray], channel: int) -> _Words:
    """The lines of 16 channels from that one on: see the kernel."""
    kernel, bias = weights[:2]
    own = slice(channel, channel + LANES)
    lines = [bias[own], *(kernel[own, c, y, x] for c, y, x in form.weights)]
    return np.concatenate([float_words(line) for line in lines])


@dataclass(frozen=True)
class _Strip:
    """So many columns of outputs from the first on, of some rows."""

    found: Stem
    pixels: int
    column: int
    rows: range

    @property
    def first_column(self) -> int:
        """Of the convolution's output."""
        return self.found.pool.strides[1] * self.column - self.found.pool.pads[1]

    @property
    def first_input_column(self) -> int:
        return self.found.conv.strides[1] * self.first_column - self.found.conv.pads[1]

    @property
    def _middle_rows(self) -> range:
        """Of the convolution's output, those that outputs need."""
        pool = self.found.pool
        first, last = (pool.strides[0] * row - pool.pads[0] for row in (self.rows[0], self.rows[-1]))
        return range(first, last + pool.kernel[0])

    @property
    def passes(self) -> range:
        """Rows of the convolution's output that they begin."""
        conv, rows = self.found.conv, self._middle_rows
        return range(rows.start, rows.stop + (conv.kernel[0] - 1) // conv.strides[0])

    def plane_step(self, form: Form) -> int:
        """Bytes from the last line of a row of an input channel to the next channel's first."""
        plane = WORD_BYTES * self.found.conv.input_rows * self.found.conv.input_columns
        return plane - LINE_BYTES * (form.lines - 1)

    def masks(self, form: Form) -> _Words:
        """Of each line 1 in lanes inside the input."""
        if not form.padded:
            return np.zeros(0, np.uint32)
        columns = self.first_input_column + np.arange(LANES * form.lines)
        return float_words((columns >= 0) & (columns < self.found.conv.input_columns))

    def stream(self, form: Form, stored: Geometry) -> _Words:
        """The words that all groups of channels read, padded to a line."""
        conv, pool = self.found.conv, self.found.pool
        words: list[Uniform] = [self._place(self.passes[0], 0)]
        clamp = bounds(self.found.op.epilogue)
        needed = self._middle_rows
        for begun in self.passes:
            finished = begun - form.late
            offset = finished - needed.start
            for row in range(conv.strides[0]):
                words += [float(self._is_inside(begun, row))] * form.padded
                words.append(self._place(begun, row + 1))
                if row == form.last_row:
                    words += self._upper_ends(form, finished) * form.pool_padded
                    words.append(int(offset >= 0 and offset % pool.strides[0] == 0))
            row, rest = divmod(offset - pool.kernel[0] + 1, pool.strides[0])
            is_last = row >= 0 and rest == 0
            words.append(int(is_last))
            if is_last:
                words += [*clamp, *self._pieces(stored, self.rows[row])]
                words.append(int(row < len(self.rows) - 1))
        words += [0] * (-len(words) % LANES)
        return plain_words(words)

    def _input_row(self, begun: int, row: int) -> int:
        return self.found.conv.strides[0] * begun - self.found.conv.pads[0] + row

    def _is_inside(self, begun: int, row: int) -> bool:
        return 0 <= self._input_row(begun, row) < self.found.conv.input_rows

    def _place(self, begun: int, row: int) -> int:
        """Byte of an input row; of one outside that of another."""
        conv = self.found.conv
        return WORD_BYTES * conv.input_columns * min(max(0, self._input_row(begun, row)), conv.input_rows - 1)

    def _upper_ends(self, form: Form, row: int) -> list[Uniform]:
        """The upper ends of the columns of a row of the convolution's output: what lies beside it is no maximum."""
        conv = self.found.conv
        inside_row = 0 <= row < conv.output_rows
        columns = range(self.first_column, self.first_column + form.columns)
        return [
            UNBOUNDED if inside_row and 0 <= column < conv.output_columns else -UNBOUNDED
            for column in columns
        ]

    def _pieces(self, stored: Geometry, row: int) -> list[Uniform]:
        """The words of a store of a row of outputs."""
        first = stored.output_columns * row + self.column
        words = piece_words(stored, first, self.pixels, 0, range(LANES), 0)
        return from_base(words)
