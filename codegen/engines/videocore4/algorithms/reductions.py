"""Reductions and softmax: sums and extremes of lines, one result a lane, or all lanes one result."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import ClassVar

import numpy as np

from codegen.algorithm_base import AlgorithmBase
from codegen.engines.videocore4.algorithms.geometry import starts
from codegen.engines.videocore4.algorithms.statistics import (
    LINE,
    Program,
    Steps,
    Tile,
    form_of,
    statistics_layer,
    statistics_work,
)
from codegen.engines.videocore4.kernels.statistics import Form, Statistic
from codegen.engines.videocore4.layer import QpuLayer
from codegen.engines.videocore4.layout import LANES, LINE_BYTES, block_lines
from codegen.errors import ScheduleError
from codegen.expression import LARGEST, RESULT, Operand, apply, maximum
from codegen.graph import LayerSpec
from codegen.operators.reduction import AlongAxis, Reduce
from codegen.operators.softmax import Softmax
from codegen.program import WORD_BYTES
from codegen.schedule import Axis, AxisNames, Choice, Point, Space, Work, values
from codegen.target import Target
from codegen.tensor import FloatArray, Shape, TensorType

ROWS = 1, 2, 4, 8, 16
LANES_ARE = "results", "elements"
LAYOUTS = "pixel16", "nchw"
MOST_STEPS = 1 << 18  # of one result, whose places are all in the stream

_ELEMENT, _JOINED, _FIRST, _SECOND = Operand(0), Operand(0), Operand(1), Operand(2)
_LARGEST = Statistic("fmax", finished=maximum(_JOINED, -LARGEST))  # finite, so that differences are numbers
_SHIFTED = apply("exp", _ELEMENT - _FIRST)
_LOG_SUM_EXP = _LARGEST, Statistic("fadd", _SHIFTED, apply("log", _JOINED) + _FIRST)
_SOFTMAX: Mapping[str, Program] = {
    "softmax": Program((_LARGEST, Statistic("fadd", _SHIFTED, 1.0 / _JOINED)), _SHIFTED * _SECOND),
    "log_softmax": Program(
        (_LARGEST, Statistic("fadd", _SHIFTED, apply("log", _JOINED))), _ELEMENT - _FIRST - _SECOND
    ),
}
_REDUCTIONS: Mapping[str, Program] = {
    "l1": Program((Statistic("fadd", abs(_ELEMENT)),)),
    "l2": Program((Statistic("fadd", _ELEMENT * _ELEMENT, apply("sqrt", _JOINED)),)),
    "log_sum": Program((Statistic("fadd", RESULT, apply("log", _JOINED)),)),
    "log_sum_exp": Program(_LOG_SUM_EXP),
    "max": Program((Statistic("fmax"),)),
    "min": Program((Statistic("fmin"),)),
    "prod": Program((Statistic("fmul"),)),
    "sum": Program((Statistic("fadd"),)),
    "sum_square": Program((Statistic("fadd", _ELEMENT * _ELEMENT),)),
}


class _QpuStatistics(AlgorithmBase):
    """What reductions and softmax share; a subclass says what is computed, and by which steps.

    Axes:
        lanes: what the 16 lanes are: results, or elements of one result
        input_layout: the layout of the inputs
        rows: lines of 16 results that are stored at a time
    """

    name: str
    engine: str = "videocore4"
    axis_names: ClassVar[AxisNames] = {"lanes": LANES_ARE, "input_layout": LAYOUTS}

    def _program(self, spec: LayerSpec) -> Program | None:
        raise NotImplementedError

    def _steps(self, spec: LayerSpec, layout: str, lanes: str, output_lines: int | None) -> Steps | None:
        """None where lanes cannot be that in the layout."""
        raise NotImplementedError

    def _output_layout(self, spec: LayerSpec, layout: str, lanes: str) -> str:
        raise NotImplementedError

    def computes(self, spec: LayerSpec, target: Target) -> bool:
        return (
            target.has_qpus
            and len(spec.inputs) == 1
            and self._program(spec) is not None
            and 0 < spec.inputs[0].elements <= MOST_STEPS * spec.output.elements
        )

    def space(self, spec: LayerSpec, target: Target) -> Space:
        found = [
            (lanes, layout)
            for lanes in LANES_ARE
            for layout in LAYOUTS
            if self._steps(spec, layout, lanes, None) is not None
        ]
        return Space(
            (
                Axis("lanes", tuple(v for v in LANES_ARE if any(v == lanes for lanes, _ in found))),
                Axis("input_layout", tuple(v for v in LAYOUTS if any(v == layout for _, layout in found))),
                Axis("rows", ROWS),
            )
        )

    def choice_at(self, spec: LayerSpec, target: Target, point: Point) -> Choice:
        layout, lanes = point["input_layout"], point["lanes"]
        choice = Choice(
            engine=self.engine,
            algorithm=self.name,
            split=values({}),
            tile=values(point),
            input_layouts=(layout,),
            output_layouts=(self._output_layout(spec, layout, lanes),),
        )
        self._kernel(spec, choice, None)  # refuses what has no steps or no registers
        return choice

    def _kernel(self, spec: LayerSpec, choice: Choice, output_lines: int | None) -> tuple[Form, Steps]:
        program, tiles = self._program(spec), choice.tiles
        steps = self._steps(spec, tiles["input_layout"], tiles["lanes"], output_lines)
        if program is None or steps is None:
            raise ScheduleError(f"{self.name}: lanes are no {tiles['lanes']} in {tiles['input_layout']}")
        return form_of(program, steps, across=tiles["lanes"] == "elements", rows=tiles["rows"]), steps

    def work(self, spec: LayerSpec, target: Target, choice: Choice) -> Work:
        return statistics_work(spec, *self._kernel(spec, choice, None), target)

    def lower(
        self,
        spec: LayerSpec,
        target: Target,
        choice: Choice,
        weights: Sequence[FloatArray],
        *,
        output_lines: int | None = None,
    ) -> QpuLayer:
        if output_lines is not None and choice.output_layout != "pixel16":
            raise ScheduleError(f"{self.name} writes nchw here, which has no blocks of {output_lines} lines")
        return statistics_layer(*self._kernel(spec, choice, output_lines), target)


class QpuReduce(_QpuStatistics):
    """Sums, extremes, norms and means over any axes: lanes are 16 results, or 16 elements of one."""

    name = "qpu_reduce"

    def _program(self, spec: LayerSpec) -> Program | None:
        if not isinstance(spec.op, Reduce):
            return None
        if spec.op.kind == "mean":
            count = spec.inputs[0].elements // spec.output.elements
            return Program((Statistic("fadd", RESULT, _JOINED * (1.0 / count)),))
        return _REDUCTIONS.get(spec.op.kind)

    def _output_layout(self, spec: LayerSpec, layout: str, lanes: str) -> str:
        planes = layout == "pixel16" and lanes == "results" and len(spec.output.shape) == 4
        return "pixel16" if planes else "nchw"

    def _steps(self, spec: LayerSpec, layout: str, lanes: str, output_lines: int | None) -> Steps | None:
        if not isinstance(spec.op, Reduce):
            raise ScheduleError(f"{self.name} does not compute {spec.op}")
        shape = spec.inputs[0].shape
        axes = frozenset(axis for axis in spec.op.axes if shape[axis] != 1)
        kept = frozenset(axis for axis, size in enumerate(shape) if size != 1) - axes
        if layout == "nchw":
            return _results_down(shape, axes) if lanes == "results" else _results_across(shape, axes, kept)
        if len(shape) != 4:
            return None
        if lanes == "elements":
            return _planes_across(shape) if axes <= {2, 3} and kept <= {0, 1} and axes else None
        if not (axes == {1} and spec.op.axes == (1,)):
            return None
        lines = output_lines or block_lines(1) if len(spec.output.shape) == 4 else None
        return _channels_down(shape, lines)


class QpuSoftmax(_QpuStatistics):
    """Softmax and its logarithm along any axis: lanes are 16 neighbours of other axes, or of this one."""

    name = "qpu_softmax"

    def _program(self, spec: LayerSpec) -> Program | None:
        kind = spec.op.kind if isinstance(spec.op, AlongAxis) else "softmax"
        return _SOFTMAX.get(kind) if isinstance(spec.op, AlongAxis | Softmax) else None

    def _output_layout(self, spec: LayerSpec, layout: str, lanes: str) -> str:
        return layout

    def _steps(self, spec: LayerSpec, layout: str, lanes: str, output_lines: int | None) -> Steps | None:
        op, shape = spec.op, spec.inputs[0].shape
        if not isinstance(op, AlongAxis | Softmax):
            raise ScheduleError(f"{self.name} does not compute {op}")
        if layout == "pixel16":
            planes = len(shape) == 4 and op.axis == 1 and lanes == "results"
            return _lines_of_channels(spec.inputs[0], output_lines) if planes else None
        length, inner = shape[op.axis], math.prod(shape[op.axis + 1 :])
        outer = math.prod(shape[: op.axis])
        if lanes == "elements":
            return _rows_across(outer, length) if inner == 1 else None
        return _rows_down(outer, length, inner) if inner > 1 else None


def _strided(shape: Shape, axes: frozenset[int]) -> np.ndarray:
    """Byte offsets of all elements along some axes, in row-major order."""
    strides = [WORD_BYTES * math.prod(shape[axis + 1 :]) for axis in range(len(shape))]
    found = np.zeros(1, np.int64)
    for axis in sorted(axes):
        found = (found[:, None] + strides[axis] * np.arange(shape[axis])).reshape(-1)
    return found


@lru_cache(maxsize=64)
def _results_down(shape: Shape, axes: frozenset[int]) -> Steps:
    """Lanes are results one behind the other, wherever their elements are."""
    results = _strided(shape, frozenset(range(len(shape))) - axes)
    count = len(results)
    tiles = []
    for first in starts(count, LANES) if count >= LANES else (0,):
        own = results[first : first + LANES]
        least = int(own.min())
        lanes = tuple(int(offset) for offset in np.pad(own - least, (0, LANES - len(own)), "edge"))
        tiles.append(Tile(lanes, least, WORD_BYTES * first, len(own)))
    offsets = _strided(shape, axes)
    return Steps(tuple(tiles), offsets, len(offsets), 0)


def _results_across(shape: Shape, axes: frozenset[int], kept: frozenset[int]) -> Steps | None:
    """Lanes are neighbours; the elements of a result lie one behind the other."""
    if not axes or max(kept, default=-1) > min(axes):
        return None
    length = math.prod(shape[axis] for axis in axes)
    pitch = WORD_BYTES * length
    tiles = _tiles_of_results(math.prod(shape) // length, 0, pitch, 0)
    return Steps(tiles, np.arange(-(-length // LANES)) * LINE_BYTES, length, pitch)


def _planes_across(shape: Shape) -> Steps:
    """Lanes are pixels of one channel."""
    samples, channels, height, width = shape
    pixels = height * width
    block_bytes = LINE_BYTES * block_lines(channels)
    blocks = -(-pixels // LANES)
    tiles = [
        tile
        for sample in range(samples)
        for tile in _tiles_of_results(
            channels, sample * blocks * block_bytes, LINE_BYTES, WORD_BYTES * sample * channels
        )
    ]
    return Steps(tuple(tiles), np.arange(blocks) * block_bytes, pixels, LINE_BYTES)


_RESULTS_OF_TILE = 4  # across: their stores are few, and still all QPUs have some


def _tiles_of_results(count: int, input_bytes: int, pitch_bytes: int, output_bytes: int) -> tuple[Tile, ...]:
    tiles = []
    for first in range(0, count, _RESULTS_OF_TILE):
        results = min(_RESULTS_OF_TILE, count - first)
        tiles.append(
            Tile(LINE, input_bytes + first * pitch_bytes, output_bytes + WORD_BYTES * first, results, results)
        )
    return tuple(tiles)


def _channels_down(shape: Shape, lines: int | None) -> Steps:
    """Lanes are pixels, steps channels. `lines`: of a block of the output; None: it has rows of pixels."""
    samples, channels, height, width = shape
    pixels = height * width
    blocks = -(-pixels // LANES)
    tiles = []
    for sample in range(samples):
        for block in range(blocks):
            number = sample * blocks + block
            source = number * block_lines(channels) * LINE_BYTES
            if lines is not None:
                tiles.append(Tile(LINE, source, number * lines * LINE_BYTES))
            else:
                first = sample * pixels + block * LANES
                words = min(LANES, pixels - block * LANES)
                tiles.append(Tile(LINE, source, WORD_BYTES * first, words))
    return Steps(tuple(tiles), np.arange(channels) * LINE_BYTES, channels, 0)


def _lines_of_channels(tensor: TensorType, output_lines: int | None) -> Steps:
    """Lanes are pixels, steps channels, each with a result."""
    samples, channels, height, width = tensor.shape
    lines = block_lines(channels)
    tiles = tuple(
        Tile(LINE, block * lines * LINE_BYTES, block * (output_lines or lines) * LINE_BYTES)
        for block in range(samples * -(-height * width // LANES))
    )
    return Steps(tiles, np.arange(channels) * LINE_BYTES, channels, LINE_BYTES)


def _rows_across(outer: int, length: int) -> Steps:
    """Lanes are neighbours of a row."""
    tiles = tuple(Tile(LINE, WORD_BYTES * row * length, WORD_BYTES * row * length) for row in range(outer))
    return Steps(tiles, np.arange(-(-length // LANES)) * LINE_BYTES, length, LINE_BYTES)


def _rows_down(outer: int, length: int, inner: int) -> Steps:
    """Lanes are neighbours behind the axis, steps go along it."""
    words = min(LANES, inner)
    lanes = tuple(WORD_BYTES * min(lane, words - 1) for lane in range(LANES))
    pitch = WORD_BYTES * inner
    tiles = tuple(
        Tile(lanes, at, at, words)
        for row in range(outer)
        for first in starts(inner, words)
        for at in (pitch * length * row + WORD_BYTES * first,)
    )
    return Steps(tiles, np.arange(length) * pitch, length, pitch)
