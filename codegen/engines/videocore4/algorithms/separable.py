"""Depthwise separable convolutions: a chain of a depthwise and a pointwise convolution, with an addition or without."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from codegen.algorithm_base import AlgorithmBase
from codegen.engines.videocore4.algorithms.convolution import Convolution
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
from codegen.engines.videocore4.algorithms.window import depthwise_window
from codegen.engines.videocore4.algorithms.words import float_words
from codegen.engines.videocore4.isa import small_immediate
from codegen.engines.videocore4.kernels.pieces import dma_store_rows, dma_store_stride
from codegen.engines.videocore4.kernels.results import adds_residual, coded, epilogue_instructions
from codegen.engines.videocore4.kernels.separable import (
    OUTSIDE,
    first_offset,
    first_request,
    first_vector,
    separable_kernel,
    stored_rows,
)
from codegen.engines.videocore4.kernels.separable_loop import (
    FIRST_LANE,
    PIECES,
    PIXELS,
    STREAMED,
    TAPS,
    THROUGH_UNIFORMS,
    Form,
    channel_instructions,
)
from codegen.engines.videocore4.layer import Address, QpuLayer, Uniform
from codegen.engines.videocore4.layout import LANES, LINE_BYTES
from codegen.engines.videocore4.parts import parts_of
from codegen.errors import ScheduleError
from codegen.expression import RESULT, as_clamp
from codegen.graph import LayerSpec
from codegen.operators.chain import Chain
from codegen.operators.conv2d import Conv2d
from codegen.program import WORD_BYTES
from codegen.schedule import Axis, AxisNames, Candidate, Choice, Point, Space, Work, values
from codegen.target import Target
from codegen.tensor import FloatArray

ROWS = (1, 2)
CHANNELS = (8, 12, 16, 20, 22, 24, 28, 32)
FREE, IN_STEP = PACES = "free", "in_step"
_HEAD_WORDS = 2
_READ_AHEAD = 2  # channels


@dataclass(frozen=True)
class Separable:
    """`depthwise`, and the `pointwise` convolution that reads it, whose residual is that input of the chain."""

    window: Geometry
    low: float | None
    high: float
    pointwise: Convolution

    @staticmethod
    @cache
    def of(spec: LayerSpec) -> Separable | None:
        """None where the layer is no such chain, or one that the kernel does not compute."""
        chain = spec.op
        if not isinstance(chain, Chain) or len(chain.members) not in (2, 3) or chain.sources[1] != (-1,):
            return None
        first = chain.members[0]
        window = Geometry.of(first) if depthwise_window(first) else None
        pointwise = _pointwise(spec, chain)
        if window is None or pointwise is None or chain.sources[0] != (0,):
            return None
        assert isinstance(first.op, Conv2d)
        value, low, high = as_clamp(first.op.epilogue)
        end = None if low is None else low or 0  # 0 is small as a whole number
        if value != RESULT or (end is not None and small_immediate(end) is None):
            return None
        if pointwise.op.groups != 1 or not is_pointwise(pointwise.geometry):
            return None
        if window.kernel != (TAPS, TAPS) or window.dilations != (1, 1):
            return None
        return Separable(window, end, UNBOUNDED if high is None else high, pointwise)

    @staticmethod
    def require(spec: LayerSpec) -> Separable:
        """Raises ScheduleError where the layer is no such chain."""
        found = Separable.of(spec)
        if found is None:
            raise ScheduleError(f"no depthwise separable convolution: {spec.describe()}")
        return found

    def form(self, point: Point, target: Target) -> Form:
        return Form(
            point["rows"],
            point["channels"],
            self.window.strides[0],
            self.low,
            target.qpus * (point["pace"] == IN_STEP),
        )


def _pointwise(spec: LayerSpec, chain: Chain) -> Convolution | None:
    """The second member, with the addition where there is one."""
    second, *rest = chain.members[1:]
    if not rest:
        return Convolution.of(second)
    (addition,), sources = rest, chain.sources[2]
    others = [source for source in sources if source >= 0]
    if len(others) != 1:
        return None
    own = tuple(1 if source >= 0 else -1 for source in sources)
    tail = LayerSpec(
        Chain((second, addition), ((0,), own)),
        (*second.inputs, spec.inputs[others[0]]),
        spec.outputs,
        second.weights,
    )
    found = Convolution.of(tail)
    return None if found is None else replace(found, residual=others[0])


def _read_again(found: Separable, form: Form, groups: int, target: Target) -> float:
    """How often an input row is read: by the rows of tiles above and below too, but for those of QPUs in step."""
    across = -(-found.window.output_columns // PIXELS) * groups
    down = max(1.0, target.qpus / across) if form.in_step else 1.0
    fresh = down * form.rows * form.stride
    return (fresh + TAPS - form.stride) / fresh


@dataclass(frozen=True)
class _Place:
    """A tile's first output pixel, and how many columns it has."""

    row: int
    column: int
    columns: int


class QpuSeparable(AlgorithmBase):
    """A 3x3 depthwise convolution with stride 1 or 2, clamped, and the pointwise one that reads it, with an addition
    behind it or not, in one kernel: what lies between them is never stored.

    Axes:
        rows: rows of up to 14 output pixels of a tile
        channels: output channels of a tile, for which the depthwise part is computed anew
        pace: whether QPUs go through their tiles each at its own pace (free), or begin them together (in_step), so that
            lines that several need are read once
    """

    name = "qpu_separable"
    engine: str = "videocore4"
    axis_names: ClassVar[AxisNames] = {"pace": PACES}

    def computes(self, spec: LayerSpec, target: Target) -> bool:
        found = Separable.of(spec)
        if found is None or not target.has_qpus:
            return False
        window = found.window
        return (
            window.strides in ((1, 1), (2, 2))
            and found.pointwise.geometry.output_channels >= min(CHANNELS)
            and window.output_columns >= PIECES
        )

    def space(self, spec: LayerSpec, target: Target) -> Space:
        found = Separable.require(spec)
        geometry = found.pointwise.geometry
        return Space(
            (
                Axis("rows", tuple(rows for rows in ROWS if rows <= geometry.output_rows)),
                Axis("channels", tuple(c for c in CHANNELS if c <= geometry.output_channels)),
                Axis("pace", PACES if images_of(spec) == 1 and target.qpus > 1 else (FREE,)),
            )
        )

    def choice_at(self, spec: LayerSpec, target: Target, point: Point) -> Choice:
        found = Separable.require(spec)
        op = found.pointwise.op
        form = found.form(point, target)
        # Refuses what has no registers.
        separable_kernel(form, coded(op.epilogue), residual=adds_residual(op.epilogue))
        tiles = len(_places(found, form)) * len(
            starts(found.pointwise.geometry.output_channels, form.channels)
        )
        if form.in_step and tiles < target.qpus:
            raise ScheduleError(f"{self.name}: {tiles} tiles do not keep {target.qpus} QPUs in step")
        choice = Choice(
            engine=self.engine,
            algorithm=self.name,
            split=values({}),
            tile=values({axis: point[axis] for axis in ("rows", "channels", "pace")}),
            input_layouts=("pixel16",) * len(spec.inputs),
            output_layouts=("pixel16",),
        )
        if form.in_step and parts_of(self, Candidate(spec, choice), target) > 1:
            raise ScheduleError(
                f"{self.name}: QPUs in step do all tiles in one launch, which would take too long"
            )
        return choice

    def work(self, spec: LayerSpec, target: Target, choice: Choice) -> Work:
        found = Separable.require(spec)
        op, window, geometry = found.pointwise.op, found.window, found.pointwise.geometry
        form = found.form(choice.tiles, target)
        groups = len(starts(geometry.output_channels, form.channels))
        count, depth = len(_places(found, form)) * groups, window.input_channels
        count += -count % max(1, form.in_step)
        results = form.rows * form.channels
        per_tile = depth * channel_instructions(form) + results * (3 + epilogue_instructions(op.epilogue))
        per_tile += 90.0 + 8 * form.lines + 2 * form.in_step
        added_lines = float(adds_residual(op.epilogue) * count * results)
        input_bytes = spec.inputs[0].size_bytes // images_of(spec)
        weight_bytes = sum(tensor.size_bytes for tensor in spec.weights)
        every_input = sum(tensor.size_bytes for tensor in spec.inputs) // images_of(spec)
        work = Work(
            macs=float(spec.macs // images_of(spec)),
            alu_instructions=float(count * per_tile),
            load_instructions=float(count * depth * (form.lines + form.vectors)) + added_lines,
            uniform_words=float(count * (depth * STREAMED + form.channels + 40)),
            hiding_instructions=float(form.rotated * (form.rows + 1) + 2 * form.rows),
            store_instructions=float(count * PIECES * results),
            dma_stores=float(count * PIECES * len(form.parts)),
            unique_bytes_read=float(every_input + weight_bytes),
            streamed_bytes_read=input_bytes * _read_again(found, form, groups, target)
            + added_lines * LINE_BYTES
            + LINE_BYTES * depth * (1 + form.vectors) * count / target.qpus,
            bytes_written=float(geometry.output_pixels * geometry.output_channels * WORD_BYTES),
            balance=busiest_share(dealt(count, target.qpus)),
            working_set_bytes=float(2 * form.lines * depth * LINE_BYTES * target.qpus),
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
        found = Separable.require(spec)
        op = found.pointwise.op
        form = found.form(choice.tiles, target)
        channel_starts = starts(found.pointwise.geometry.output_channels, form.channels)
        packed = _Packed.of(weights, form, channel_starts)
        tiles = [(place, group) for place in _places(found, form) for group in range(len(channel_starts))]
        clamp = bounds(op.epilogue)
        expected = form.words_before_stream() + form.words_behind_stream(
            clamped=bool(clamp), residual=found.pointwise.residual is not None
        )
        blocks: list[tuple[Uniform, ...] | None] = []
        if form.in_step:  # all have as many
            tiles += tiles[len(tiles) - -len(tiles) % form.in_step :]
        for q in range(target.qpus):
            own = tiles[q :: target.qpus]
            words: list[Uniform] = [Address("block", WORD_BYTES * _HEAD_WORDS), found.high]
            for number, (place, group) in enumerate(own):
                words += _before_stream(found, form, place, packed.zeros)
                words += packed.places[group]
                if form.in_step:
                    words += [int(q == 0), number % 2]
                words += _behind_stream(found, form, place, channel_starts[group], clamp, output_lines)
                words.append(int(number < len(own) - 1))
            if len(words) != _HEAD_WORDS + expected * len(own):
                raise ScheduleError(f"{self.name}: a tile's words do not match what the kernel reads")
            blocks.append(tuple(words) if own else None)
        code = separable_kernel(form, coded(op.epilogue), residual=adds_residual(op.epilogue)).words
        return for_each_image(QpuLayer(code, packed.words, tuple(blocks)), spec, choice, output_lines)


def _places(found: Separable, form: Form) -> list[_Place]:
    """Row by row: neighbours, which share lines, are computed at the same time."""
    window = found.window
    columns = min(PIXELS, window.output_columns)
    return [
        _Place(row, column, columns)
        for row in starts(window.output_rows, form.rows)
        for column in starts(window.output_columns, columns)
    ]


@dataclass(frozen=True, eq=False)
class _Packed:
    """Of each tile of channels its planes of vectors, a line for each input channel, and its stream. The last lane of
    the first tile's last plane is zero throughout.
    """

    words: NDArray[np.uint32]
    places: tuple[tuple[Address, ...], ...]
    zeros: Address

    @staticmethod
    def of(weights: Sequence[FloatArray], form: Form, channel_starts: Sequence[int]) -> _Packed:
        taps, bias, kernel, sums_bias = weights
        depth = len(taps)
        window = taps.reshape(depth, TAPS, TAPS)
        # By how far sums have moved: the kernel's order of taps.
        phases = [window[:, :, :1], window[:, :, 1:2], window[:, :, 2:]]
        if form.stride > 1:
            phases = [window[:, :, :2], window[:, :, 2:]]
        head = np.concatenate(
            [bias.reshape(depth, 1), *(phase.reshape(depth, -1) for phase in phases)], axis=1
        )
        parts: list[NDArray[np.uint32]] = []
        places = []
        size = 0
        for start in channel_starts:
            of_tile = kernel[start : start + form.channels, :, 0, 0].T
            planes = np.zeros((form.planes, depth + _READ_AHEAD, LANES), np.float32)
            for lane in range(form.rotated):
                planes[lane // LANES, :depth, lane % LANES] = of_tile[:, THROUGH_UNIFORMS + lane]
            own = np.concatenate([head, of_tile[:, :THROUGH_UNIFORMS]], axis=1)
            words = [
                float_words(sums_bias[start : start + form.channels]),
                np.array([first_offset(depth) % 2**32], np.uint32),
            ]
            padding = -sum(map(len, words)) % LANES
            begin = size + planes.size + padding
            plane_bytes = WORD_BYTES * planes[0].size
            vectors = [WORD_BYTES * size + plane_bytes * v + first_vector(depth) for v in range(form.vectors)]
            places.append(tuple(Address("weights", at) for at in (*vectors, WORD_BYTES * begin)))
            added = [
                float_words(planes.reshape(-1)),
                np.zeros(padding, np.uint32),
                *words,
                float_words(own.reshape(-1)),
            ]
            parts += added
            size += sum(map(len, added))
        zeros = plane_bytes * (form.planes - 1) + LINE_BYTES - WORD_BYTES + first_request(depth)
        return _Packed(
            np.concatenate([*parts, np.zeros(LANES, np.uint32)]), tuple(places), Address("weights", zeros)
        )


def _before_stream(found: Separable, form: Form, place: _Place, zeros: Address) -> list[Uniform]:
    window = found.window
    top, left = window.pads[:2]
    stride = form.stride
    first_row = stride * place.row - top
    rows = range(first_row, first_row + form.input_rows)
    return [
        stride * (place.column - (stride - 1)) - left,
        window.input_columns,
        window.input_block_bytes - LINE_BYTES,
        Address("input", first_request(window.input_channels)),
        zeros,
        *(row * window.input_columns if 0 <= row < window.input_rows else OUTSIDE for row in rows),
    ]


def _behind_stream(
    found: Separable,
    form: Form,
    place: _Place,
    channel: int,
    clamp: tuple[float, ...],
    output_lines: int | None,
) -> list[Uniform]:
    geometry, residual = found.pointwise.geometry, found.pointwise.residual
    width = geometry.output_columns
    firsts = [width * (place.row + row) + place.column for row in range(form.rows)]
    words: list[Uniform] = []
    if residual is not None:
        words += [place.columns - 1, geometry.output_lines * LINE_BYTES - LINE_BYTES]
        words += [Address("input", LINE_BYTES * channel, residual), *firsts]
    words += clamp
    stored = geometry.within(output_lines)
    for (row, channels), (first_line, lines) in zip(form.parts, stored_rows(form), strict=True):
        for pixel, lane, count in _pieces(firsts[row], place.columns):
            block, inside = divmod(pixel, LANES)
            at = stored.output_line_bytes(block, channel + channels.start) + WORD_BYTES * inside
            words += [
                dma_store_stride(LINE_BYTES - WORD_BYTES * count),
                dma_store_rows(first_line, lines, count, lane),
                Address("output", at),
            ]
    return words


def _pieces(first: int, columns: int) -> tuple[tuple[int, int, int], ...]:
    """(first pixel, its lane, pixels) of what lies in one block, and what lies in the next, or of two halves."""
    head = LANES - first % LANES
    if head >= columns:
        head = columns // 2
    return (first, FIRST_LANE, head), (first + head, FIRST_LANE + head, columns - head)
