"""Convolutions whose im2col matrix is written: then they are pointwise, and their inputs are read once for all taps."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from codegen.algorithm_base import AlgorithmBase
from codegen.engines.videocore4.algorithms.arrangements import arrangement_of
from codegen.engines.videocore4.algorithms.channel_lanes import ChannelProducts, QpuPointwiseChannels
from codegen.engines.videocore4.algorithms.convolution import Convolution
from codegen.engines.videocore4.algorithms.gathered_lines import GatheredLines, Run
from codegen.engines.videocore4.algorithms.gemm import INPUT_LAYOUTS, is_pointwise
from codegen.engines.videocore4.algorithms.moves import work_of
from codegen.engines.videocore4.algorithms.phased import Buffer, behind, both, in_scratch
from codegen.engines.videocore4.kernels.results import adds_residual
from codegen.engines.videocore4.layer import Address, QpuLayer
from codegen.engines.videocore4.layout import LANES, LINE_BYTES, Pixel16, block_lines
from codegen.errors import ScheduleError
from codegen.graph import LayerSpec
from codegen.operators.conv2d import Conv2d
from codegen.places import NOWHERE, Piece, Places, in_order
from codegen.schedule import Axis, AxisNames, Candidate, Choice, Phase, Point, Space, Work, values
from codegen.target import Target
from codegen.tensor import FloatArray, TensorType

ROWS, GROUPS = 32, 1  # of the first phase: channels of a tap that are written at a time
_READ_AHEAD = LINE_BYTES  # by the uniforms' prefetch: not yet what the products' phases write
MOST_ELEMENTS = 1 << 21  # of the matrix: larger ones take longer to write than a kernel that reads taps again


@dataclass(frozen=True)
class _Unfolded:
    """The matrix as a tensor of planes, [tap][input channel] by outputs, and the convolution of it."""

    matrix: TensorType
    multiplication: LayerSpec

    @staticmethod
    @cache
    def of(spec: LayerSpec) -> _Unfolded:
        found = Convolution.require(spec)
        op, geometry = found.op, found.geometry
        images, outputs, *plane = spec.output.shape
        matrix = TensorType((images, geometry.taps * geometry.input_channels, *plane))
        inputs = (matrix, spec.output) if adds_residual(op.epilogue) else (matrix,)
        weights = TensorType((outputs, matrix.shape[1], 1, 1)), TensorType((outputs,))
        return _Unfolded(
            matrix,
            LayerSpec(Conv2d(kernel=(1, 1), epilogue=op.epilogue), inputs, (spec.output,), weights),
        )


class QpuIm2colChannels(AlgorithmBase):
    """Any ungrouped convolution but pointwise ones, of which the im2col matrix is written and then multiplied as
    `qpu_pointwise_channels` does.

    Axes:
        pixel_tiles: tiles of pixels that QPUs multiply at the same time; they share the channels among them
        channels: output channels of a tile
        neighbours: what the QPU of the next number multiplies at the same time: other channels of the same pixels, or
            other pixels of the same channels
        pixels: pixels of a tile
        weights: type of the weights as they are stored, where it is not float32
        input_layout: the layout of the inputs
    """

    name = "qpu_im2col_channels"
    engine: str = "videocore4"
    takes_residuals = True
    _products: ClassVar[QpuPointwiseChannels] = ChannelProducts()
    axis_names: ClassVar[AxisNames] = {**_products.axis_names, "input_layout": INPUT_LAYOUTS}

    def computes(self, spec: LayerSpec, target: Target) -> bool:
        found = Convolution.of(spec)
        if found is None or found.op.groups != 1 or is_pointwise(found.geometry):
            return False
        unfolded = _Unfolded.of(spec)
        return unfolded.matrix.elements <= MOST_ELEMENTS and self._products.computes(
            unfolded.multiplication, target
        )

    def space(self, spec: LayerSpec, target: Target) -> Space:
        inner = self._products.space(_Unfolded.of(spec).multiplication, target)
        return Space((*inner.axes, Axis("input_layout", INPUT_LAYOUTS)))

    def choice_at(self, spec: LayerSpec, target: Target, point: Point) -> Choice:
        layout = point["input_layout"]
        if Convolution.require(spec).residual == 0 and layout != "pixel16":
            raise ScheduleError(
                f"{self.name} adds its input to the result, which is pixel16, and not {layout}"
            )
        inner = self._inner(spec, target, point)
        return Choice(
            engine=self.engine,
            algorithm=self.name,
            split=inner.split,
            tile=values({**inner.tiles, "input_layout": layout}),
            input_layouts=(layout, *("pixel16",) * (len(spec.inputs) - 1)),
            output_layouts=("pixel16",),
        )

    def _inner(self, spec: LayerSpec, target: Target, point: Point) -> Choice:
        """The choice of the products' algorithm."""
        own = {name: value for name, value in point.items() if name != "input_layout"}
        return self._products.choice_at(_Unfolded.of(spec).multiplication, target, own)

    def work(self, spec: LayerSpec, target: Target, choice: Choice) -> Work:
        products, unfolding = (phase.work for phase in self.phases(spec, target, choice))
        read = sum(tensor.size_bytes for tensor in (*spec.inputs, *spec.weights))
        return replace(both(products, unfolding), unique_bytes_read=float(read))

    def phases(self, spec: LayerSpec, target: Target, choice: Choice) -> tuple[Phase, ...]:
        """The products, and the writing of the matrix."""
        multiplication = _Unfolded.of(spec).multiplication
        inner = self._inner(spec, target, {**choice.splits, **choice.tiles})
        lines = _unfolding(spec, choice.input_layouts[0])
        return (
            Phase(Candidate(multiplication, inner), self._products.work(multiplication, target, inner)),
            Phase(
                Candidate(spec, replace(choice, split=(), tile=())),
                work_of(
                    lines, ROWS, GROUPS, target, *(float(spec.inputs[0].size_bytes),) * 2, read_once=True
                ),
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
        unfolded = _Unfolded.of(spec)
        inner = self._inner(spec, target, {**choice.splits, **choice.tiles})
        kernel = weights[0].reshape(*weights[0].shape[:2], -1).transpose(0, 2, 1)
        bank = kernel.reshape(unfolded.multiplication.weights[0].shape), weights[1]
        multiplied = self._products.lower(
            unfolded.multiplication, target, inner, bank, output_lines=output_lines
        )
        residual = Convolution.require(spec).residual
        places: dict[Buffer, Address] = {("input", 0): Address("scratch")}
        if residual is not None:
            places["input", 1] = Address("input", 0, residual)
        first = _unfolding(spec, choice.input_layouts[0]).lower(ROWS, GROUPS, target)
        matrix = Pixel16().size_bytes(unfolded.matrix)
        size = matrix + (multiplied.scratch_bytes and _READ_AHEAD + multiplied.scratch_bytes)
        return replace(
            in_scratch(first, {("output", 0): Address("scratch")}),
            then=behind(multiplied, places, matrix + _READ_AHEAD, size),
            scratch_bytes=size,
        )

    def order_of_sums(self, spec: LayerSpec, choice: Choice) -> NDArray[np.intp]:
        """All channels of a tap, then those of the next."""
        geometry = Convolution.require(spec).geometry
        places = np.arange(geometry.taps * geometry.input_channels).reshape(geometry.taps, -1)
        return places.T.reshape(geometry.input_channels, *geometry.kernel)


@cache
def _unfolding(spec: LayerSpec, layout: str) -> GatheredLines:
    """The lines of the matrix, a tap's behind another's. A few channels of all pixels are written before the next ones:
    their input stays in the L2 for all taps. Of a last block only pixels are stored.
    """
    matrix, channels = _Unfolded.of(spec).matrix, spec.inputs[0].shape[1]
    lines = arrangement_of(_taps(spec), spec.inputs[:1], (matrix,), (layout, "pixel16"))
    pixels = math.prod(matrix.shape[2:])
    blocks, rest = -(-pixels // LANES), pixels % LANES or LANES

    def place(run: Run) -> tuple[int, int, int]:
        block, line = divmod(run.output_bytes // LINE_BYTES, block_lines(matrix.shape[1]))
        tap, channel = divmod(line, channels)
        return channel, block, tap

    def stored(run: Run) -> Run:
        _, block, _ = place(run)
        return run._replace(words=rest) if block % blocks == blocks - 1 else run

    runs = [
        stored(run.cut(first, min(ROWS, run.lines - first)))
        for run in lines.runs
        for first in range(0, run.lines, ROWS)
    ]
    return replace(lines, runs=sorted(runs, key=place))


def _taps(spec: LayerSpec) -> list[Piece]:
    """For each tap what it meets of every channel, row by row in the window."""
    geometry = Convolution.require(spec).geometry
    rows, columns = (
        np.arange(outputs)[None, :] * stride + np.arange(taps)[:, None] * dilation - pad
        for outputs, stride, taps, dilation, pad in (
            (geometry.output_rows, geometry.strides[0], geometry.kernel[0], geometry.dilations[0], geometry.pads[0]),
            (geometry.output_columns, geometry.strides[1], geometry.kernel[1], geometry.dilations[1], geometry.pads[1]),
        )
    )  # fmt: skip
    source = spec.inputs[0]
    places = in_order(source)

    def met(down: int, right: int) -> Places:
        y, x = rows[down][:, None], columns[right][None, :]
        inside = (y >= 0) & (y < geometry.input_rows) & (x >= 0) & (x < geometry.input_columns)
        own = places[:, :, np.clip(y, 0, geometry.input_rows - 1), np.clip(x, 0, geometry.input_columns - 1)]
        return np.where(inside, own, NOWHERE)

    return [
        Piece(0, 0, met(*divmod(tap, geometry.kernel[1])), channel=tap * geometry.input_channels)
        for tap in range(geometry.taps)
    ]
