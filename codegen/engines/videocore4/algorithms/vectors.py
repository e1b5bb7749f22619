"""Layers whose lanes are channels: fully connected and global average pooling. Both write flat results."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import ClassVar, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from codegen.algorithm_base import AlgorithmBase
from codegen.engines.videocore4.algorithms.geometry import Geometry, bounds, busiest_share, starts
from codegen.engines.videocore4.algorithms.images import for_each_image, work_of_images
from codegen.engines.videocore4.algorithms.words import float_words
from codegen.engines.videocore4.assembler import Assembler
from codegen.engines.videocore4.kernels.results import coded, epilogue_instructions
from codegen.engines.videocore4.kernels.vectors import AHEAD as GLOBAL_POOL_AHEAD
from codegen.engines.videocore4.kernels.vectors import (
    BYTE_LARGEST,
    PARTS,
    fully_connected_kernel,
    fully_connected_tile_words,
    global_pool_fixed_words,
    global_pool_kernel,
)
from codegen.engines.videocore4.layer import Address, QpuLayer, Uniform
from codegen.engines.videocore4.layout import LANES, LINE_BYTES
from codegen.errors import ScheduleError
from codegen.graph import LayerSpec
from codegen.operators.fully_connected import FullyConnected
from codegen.operators.pool2d import Pool2d
from codegen.program import WORD_BYTES
from codegen.schedule import Axis, AxisNames, Choice, Point, Space, Work, values
from codegen.stored_weights import WEIGHTS, bytes_of, halves, weight_type, weights_axis
from codegen.target import WEIGHT_TYPES, Target, WeightType
from codegen.tensor import FloatArray

T = TypeVar("T")
_HEAD_WORDS = 2
UNROLLS = (1, 2, 4, 8, 16)
NARROW: tuple[WeightType, ...] = ("float16", "int8")  # weights that r4 unpacks
DEALINGS = RUNS, INTERLEAVED = "runs", "interleaved"


def dealt_out(tiles: Sequence[T], qpus: int, dealing: str) -> list[list[T]]:
    """Tiles of each QPU: every qpus-th, or a run of neighbours."""
    if dealing == INTERLEAVED:
        return [list(tiles[q::qpus]) for q in range(qpus)]
    cuts = [len(tiles) * q // qpus for q in range(qpus + 1)]
    return [list(tiles[a:b]) for a, b in pairwise(cuts)]


def _first_outputs(outputs: int) -> tuple[int, ...]:
    """Of each tile; of few outputs there is one tile."""
    return starts(outputs, LANES) if outputs >= LANES else (0,)


def _lines(kind: WeightType, inputs: int) -> tuple[int, int]:
    """Of a tile of 16 outputs: those of biases and of what bytes are worth, and those of weights."""
    return 2 if kind == "int8" else 1, inputs // len(PARTS[kind])


def packed_outputs(
    kind: WeightType, matrix: FloatArray, bias: FloatArray, first_outputs: Sequence[int]
) -> NDArray[np.uint32]:
    """[tiles][lines][16 outputs], each word the weights of several neighbouring inputs, the first lowest."""
    heads = [bias]
    parts: NDArray[np.generic] = matrix
    if kind == "float16":
        parts = halves(matrix)
    elif kind == "int8":
        parts, scales = bytes_of(matrix)
        heads.append(scales * np.float32(BYTE_LARGEST))
    weights = np.ascontiguousarray(parts).view("<u4")
    tiles = [
        np.concatenate(
            [*(float_words(x[o : o + LANES])[None, :] for x in heads), weights[o : o + LANES].T], axis=0
        )
        for o in first_outputs
    ]
    return np.stack(tiles).reshape(-1)


def _check_flat(name: str, output_lines: int | None) -> None:
    if output_lines is not None:
        raise ScheduleError(f"{name} writes nchw, which has no blocks of {output_lines} lines")


class QpuFullyConnected(AlgorithmBase):
    """Matrix times vector, for each of a batch: weights are read once, as lines of 16 outputs.

    Axes:
        dealing: how tiles of 16 outputs go to the QPUs: runs of neighbours, or interleaved, every so many-th
        unroll: inputs of a turn of the inner loop
        weights: type of the weights as they are stored, where it is not float32
    """

    name = "qpu_fully_connected"
    engine: str = "videocore4"
    axis_names: ClassVar[AxisNames] = {"dealing": DEALINGS, WEIGHTS: WEIGHT_TYPES}

    def computes(self, spec: LayerSpec, target: Target) -> bool:
        return isinstance(spec.op, FullyConnected) and len(spec.inputs) == 1 and target.has_qpus

    def space(self, spec: LayerSpec, target: Target) -> Space:
        inputs = spec.inputs[0].shape[1]
        unrolls = tuple(u for u in UNROLLS if inputs % u == 0)
        can = [kind for kind in NARROW if inputs % len(PARTS[kind]) == 0]
        axes = weights_axis(target, can)
        if axes:
            unrolls = tuple(u for u in unrolls if u % len(PARTS[target.weights]) == 0)
        return Space((Axis("dealing", DEALINGS, "split"), Axis("unroll", unrolls), *axes))

    def choice_at(self, spec: LayerSpec, target: Target, point: Point) -> Choice:
        choice = Choice(
            self.engine,
            self.name,
            values({"dealing": point["dealing"]}),
            values({axis: point[axis] for axis in ("unroll", WEIGHTS) if axis in point}),
            ("nchw",),
            ("nchw",),
        )
        self._kernel(spec, choice)  # refuses what has no registers
        return choice

    def work(self, spec: LayerSpec, target: Target, choice: Choice) -> Work:
        inputs, outputs = spec.inputs[0].shape[1], spec.output.shape[1]
        epilogue = self._op(spec).epilogue
        tiles = dealt_out(_first_outputs(outputs), target.qpus, choice.splits["dealing"])
        count = sum(map(len, tiles))
        kind = weight_type(choice)
        heads, lines = _lines(kind, inputs)
        of_input = 3.0 if kind == "int8" else 2.0
        work = Work(
            macs=float(inputs * outputs),
            alu_instructions=count
            * (inputs * (of_input + 2 / choice.tiles["unroll"]) + 60.0 + epilogue_instructions(epilogue)),
            load_instructions=float(count * (lines + heads)),
            uniform_words=float(count * (inputs + fully_connected_tile_words(bool(bounds(epilogue))))),
            store_instructions=float(count),
            dma_stores=float(count),
            unique_bytes_read=float(WORD_BYTES * (lines * outputs + inputs + heads * outputs)),
            streamed_bytes_read=float(count * (lines + heads) * LINE_BYTES),
            bytes_written=float(count * WORD_BYTES * min(LANES, outputs)),
            balance=busiest_share([len(t) for t in tiles]),
            working_set_bytes=float(WORD_BYTES * inputs),
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
        op = self._op(spec)
        _check_flat(self.name, output_lines)
        matrix, bias = weights[0], weights[1]
        inputs, unroll = matrix.shape[1], choice.tiles["unroll"]
        first_outputs = _first_outputs(matrix.shape[0])
        lacking = max(0, LANES - matrix.shape[0])
        matrix, bias = np.pad(matrix, ((0, lacking), (0, 0))), np.pad(bias, (0, lacking))
        kind = weight_type(choice)
        packed = packed_outputs(kind, matrix, bias, first_outputs)
        tile_bytes = sum(_lines(kind, inputs)) * LINE_BYTES
        clamp = bounds(op.epilogue)

        def block(tiles: Sequence[int]) -> tuple[Uniform, ...] | None:
            if not tiles:
                return None
            words: list[Uniform] = [Address("block", WORD_BYTES * _HEAD_WORDS), len(tiles)]
            for tile in tiles:
                words += [Address("weights", tile * tile_bytes), *clamp]
                words += [
                    Address("output", WORD_BYTES * first_outputs[tile]),
                    inputs // unroll,
                    Address("input"),
                ]
            return tuple(words)

        dealt = dealt_out(range(len(first_outputs)), target.qpus, choice.splits["dealing"])
        layer = QpuLayer(self._kernel(spec, choice).words, packed, tuple(block(tiles) for tiles in dealt))
        return for_each_image(layer, spec, choice)

    def order_of_sums(self, spec: LayerSpec, choice: Choice) -> NDArray[np.intp]:
        return np.arange(spec.inputs[0].shape[1])

    def _kernel(self, spec: LayerSpec, choice: Choice) -> Assembler:
        words = min(LANES, spec.output.shape[1])
        epilogue = coded(self._op(spec).epilogue)
        return fully_connected_kernel(choice.tiles["unroll"], epilogue, words, weight_type(choice))

    def _op(self, spec: LayerSpec) -> FullyConnected:
        if not isinstance(spec.op, FullyConnected):
            raise ScheduleError(f"{self.name} does not compute {spec.op}")
        return spec.op


class _QpuGlobalPool(AlgorithmBase):
    """What pools over the whole plane share; lanes are channels.

    Axes:
        dealing: how tiles of 16 channels go to the QPUs: runs of neighbours, or interleaved, every so many-th
        ahead: pixels that are asked for before the first is used
    """

    name: str
    engine: str = "videocore4"
    axis_names: ClassVar[AxisNames] = {"dealing": DEALINGS}
    kind: Literal["max", "average"]

    def computes(self, spec: LayerSpec, target: Target) -> bool:
        geometry = Geometry.of(spec)
        return (
            geometry is not None
            and target.has_qpus
            and isinstance(spec.op, Pool2d)
            and spec.op.kind == self.kind
            and spec.op.kernel == (geometry.input_rows, geometry.input_columns)
            and spec.op.pads == (0, 0, 0, 0)
            and geometry.output_pixels == 1
            and geometry.taps >= 2
            and geometry.output_channels >= LANES
        )

    def space(self, spec: LayerSpec, target: Target) -> Space:
        geometry = self._geometry(spec)
        aheads = tuple(a for a in (1, 2, GLOBAL_POOL_AHEAD) if a < geometry.taps)
        return Space((Axis("dealing", DEALINGS, "split"), Axis("ahead", aheads)))

    def choice_at(self, spec: LayerSpec, target: Target, point: Point) -> Choice:
        # Refuses what has no registers.
        global_pool_kernel(self.kind, point["ahead"], coded(self._op(spec).epilogue))
        return Choice(
            self.engine,
            self.name,
            values({"dealing": point["dealing"]}),
            values({"ahead": point["ahead"]}),
            ("pixel16",),
            ("nchw",),
        )

    def work(self, spec: LayerSpec, target: Target, choice: Choice) -> Work:
        geometry = self._geometry(spec)
        epilogue = self._op(spec).epilogue
        pixels, channels = geometry.taps, geometry.output_channels
        tiles = dealt_out(starts(channels, LANES), target.qpus, choice.splits["dealing"])
        count = sum(map(len, tiles))
        each = 9.0 if self.kind == "average" else 6.0
        work = Work(
            macs=float(pixels * channels),
            alu_instructions=count * (pixels * each + 60.0 + epilogue_instructions(epilogue)),
            load_instructions=float(count * pixels),
            uniform_words=float(count * (pixels + global_pool_fixed_words(bool(bounds(epilogue))))),
            store_instructions=float(count),
            dma_stores=float(count),
            unique_bytes_read=float(WORD_BYTES * pixels * channels),
            streamed_bytes_read=float(geometry.input_blocks * channels * LINE_BYTES),
            bytes_written=float(count * LINE_BYTES),
            balance=busiest_share([len(t) for t in tiles]),
            working_set_bytes=float(LANES * LINE_BYTES),
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
        _check_flat(self.name, output_lines)
        geometry, ahead = self._geometry(spec), choice.tiles["ahead"]
        pixels, channels = geometry.taps, geometry.output_channels
        offsets = [
            (i // LANES) * geometry.input_block_bytes + (i % LANES) * WORD_BYTES for i in range(pixels)
        ]
        op = self._op(spec)
        clamp = bounds(op.epilogue)
        scale = 1.0 / pixels if self.kind == "average" else 1.0

        def block(tiles: Sequence[int]) -> tuple[Uniform, ...] | None:
            if not tiles:
                return None
            words: list[Uniform] = [Address("block", WORD_BYTES * _HEAD_WORDS), len(tiles)]
            for channel in tiles:
                words += [Address("input", channel * LINE_BYTES), *clamp]
                words += [Address("output", WORD_BYTES * channel), scale, pixels - ahead, *offsets]
            return tuple(words)

        dealt = dealt_out(starts(channels, LANES), target.qpus, choice.splits["dealing"])
        kernel = global_pool_kernel(self.kind, ahead, coded(op.epilogue))
        layer = QpuLayer(kernel.words, np.zeros(LANES, np.uint32), tuple(block(t) for t in dealt))
        return for_each_image(layer, spec, choice)

    def _op(self, spec: LayerSpec) -> Pool2d:
        if not isinstance(spec.op, Pool2d):
            raise ScheduleError(f"{self.name} does not compute {spec.op}")
        return spec.op

    @staticmethod
    def _geometry(spec: LayerSpec) -> Geometry:
        geometry = Geometry.of(spec)
        if geometry is None:
            raise ScheduleError(f"no pooling of planes: {spec.op}")
        return geometry


class QpuGlobalAverage(_QpuGlobalPool):
    """Average over the whole plane."""

    name = "qpu_global_average"
    kind = "average"


class QpuGlobalMaximum(_QpuGlobalPool):
    """Maximum over the whole plane."""

    name = "qpu_global_maximum"
    kind = "max"
