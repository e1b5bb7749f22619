"""Layers whose lanes are channels: fully connected and global average pooling. Both write flat results."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import ClassVar, Literal

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
from codegen.target import Target
from codegen.tensor import FloatArray

_HEAD_WORDS = 2
DEALINGS = RUNS, INTERLEAVED = "runs", "interleaved"


def _deal(tiles: Sequence[int], qpus: int, dealing: str) -> list[list[int]]:
    """Tiles of each QPU: every qpus-th, or a run of neighbours."""
    if dealing == INTERLEAVED:
        return [list(tiles[q::qpus]) for q in range(qpus)]
    cuts = [len(tiles) * q // qpus for q in range(qpus + 1)]
    return [list(tiles[a:b]) for a, b in pairwise(cuts)]


def _first_outputs(outputs: int) -> tuple[int, ...]:
    """Of each tile; of few outputs there is one tile."""
    return starts(outputs, LANES) if outputs >= LANES else (0,)


def _check_flat(name: str, output_lines: int | None) -> None:
    if output_lines is not None:
        raise ScheduleError(f"{name} writes nchw, which has no blocks of {output_lines} lines")


class QpuFullyConnected(AlgorithmBase):
    """Matrix times vector, for each of a batch: weights are read once, as lines of 16 outputs.

    Axes:
        dealing: how tiles of 16 outputs go to the QPUs: runs of neighbours, or interleaved, every so many-th
        unroll: inputs of a turn of the inner loop
    """

    name = "qpu_fully_connected"
    engine: str = "videocore4"
    axis_names: ClassVar[AxisNames] = {"dealing": DEALINGS}

    def computes(self, spec: LayerSpec, target: Target) -> bool:
        return isinstance(spec.op, FullyConnected) and len(spec.inputs) == 1 and target.has_qpus

    def space(self, spec: LayerSpec, target: Target) -> Space:
        inputs = spec.inputs[0].shape[1]
        unrolls = tuple(u for u in (1, 2, 4, 8, 16) if inputs % u == 0)
        return Space((Axis("dealing", DEALINGS, "split"), Axis("unroll", unrolls)))

    def choice_at(self, spec: LayerSpec, target: Target, point: Point) -> Choice:
        # Refuses what has no registers.
        self._kernel(spec, point["unroll"])
        return Choice(
            self.engine,
            self.name,
            values({"dealing": point["dealing"]}),
            values({"unroll": point["unroll"]}),
            ("nchw",),
            ("nchw",),
        )

    def work(self, spec: LayerSpec, target: Target, choice: Choice) -> Work:
        inputs, outputs = spec.inputs[0].shape[1], spec.output.shape[1]
        epilogue = self._op(spec).epilogue
        tiles = _deal(_first_outputs(outputs), target.qpus, choice.splits["dealing"])
        count = sum(map(len, tiles))
        work = Work(
            macs=float(inputs * outputs),
            alu_instructions=count
            * (inputs * (2 + 2 / choice.tiles["unroll"]) + 60.0 + epilogue_instructions(epilogue)),
            load_instructions=float(count * (inputs + 1)),
            uniform_words=float(count * (inputs + fully_connected_tile_words(bool(bounds(epilogue))))),
            store_instructions=float(count),
            dma_stores=float(count),
            unique_bytes_read=float(WORD_BYTES * (inputs * (outputs + 1) + outputs)),
            streamed_bytes_read=float(count * (inputs + 1) * LINE_BYTES),
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
        lines = [
            np.concatenate([bias[o : o + LANES][None, :], matrix[o : o + LANES].T], axis=0)
            for o in first_outputs
        ]
        packed = float_words(np.stack(lines))
        tile_bytes = (inputs + 1) * LINE_BYTES
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

        dealt = _deal(range(len(first_outputs)), target.qpus, choice.splits["dealing"])
        layer = QpuLayer(self._kernel(spec, unroll).words, packed, tuple(block(tiles) for tiles in dealt))
        return for_each_image(layer, spec, choice)

    def order_of_sums(self, spec: LayerSpec, choice: Choice) -> NDArray[np.intp]:
        return np.arange(spec.inputs[0].shape[1])

    def _kernel(self, spec: LayerSpec, unroll: int) -> Assembler:
        words = min(LANES, spec.output.shape[1])
        return fully_connected_kernel(unroll, coded(self._op(spec).epilogue), words)

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
        tiles = _deal(starts(channels, LANES), target.qpus, choice.splits["dealing"])
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

        dealt = _deal(starts(channels, LANES), target.qpus, choice.splits["dealing"])
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
