"""Direct convolution on blocks of channels: broadcast inputs times vectors of weights, sums in registers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from codegen.engines.cpu.blocked.conv_source import ConvCode, conv_text, pack_conv
from codegen.engines.cpu.blocked.conv_tiles import even_widths
from codegen.engines.cpu.blocked.geometry import Image
from codegen.engines.cpu.blocked.kernel import IN_BLOCKS, INPUT_NAMES, ROW_MAJOR
from codegen.engines.cpu.blocked.widened_conv import WidenedConv
from codegen.engines.cpu.machine import TileRegisters
from codegen.graph import LayerSpec
from codegen.operators.conv2d import Conv2d
from codegen.schedule import Axis, AxisNames, Point
from codegen.target import Target
from codegen.tensor import FloatArray
from codegen.windows import Windows


class CpuBlockedConv(WidenedConv[ConvCode]):
    """`pixels` outputs of a row by `blocks` blocks of output channels in registers; nothing is copied or padded.

    A 1x1 convolution takes the whole plane for one row. The `input` may be row-major where it fills no block: the first
    layer of a network.

    Axes:
        input: how the first input lies: in blocks (channel<lanes>) or row_major (nchw)

    Formulas:
        block: o // lanes
        padded: (O + lanes - 1) // lanes
        first: block // blocks * blocks
        wide: min(blocks, padded - first)
        start: i // lanes * lanes
        deep: min(lanes, I - start)
        weight: (first * I + start * wide) * lanes * Y * X + (((y * deep + i - start) * X + x) * wide + block - first)
            * lanes + o % lanes
        bias: padded * lanes * I * Y * X + o
        elements: padded * lanes * (I * Y * X + 1)
    """

    name = "cpu_blocked_conv"
    axis_names: ClassVar[AxisNames] = {**WidenedConv.axis_names, **INPUT_NAMES}
    first_row = "0,"

    def input_axes(self, spec: LayerSpec, target: Target) -> tuple[Axis, ...]:
        fills_block = spec.inputs[0].shape[1] >= self.lanes(target)
        return (Axis("input", (IN_BLOCKS,) if fills_block else (IN_BLOCKS, ROW_MAJOR)),)

    def layouts(self, spec: LayerSpec, point: Point) -> tuple[tuple[str, ...], str]:
        (source,), result = super().layouts(spec, point)
        return ("nchw" if point["input"] == ROW_MAJOR else source,), result

    def widths(self, spec: LayerSpec, blocks: int, registers: TileRegisters) -> tuple[int, ...]:
        windows = _windows(spec)
        widest = registers.pointwise_pixels(blocks) if windows.is_pointwise else registers.pixels(blocks)
        return even_widths(windows.columns.outputs, widest)

    def text(self, code: ConvCode) -> str:
        return conv_text(code)

    def pack(self, weights: Sequence[FloatArray], code: ConvCode) -> FloatArray:
        return pack_conv(weights, code)

    def code(self, spec: LayerSpec, point: Point, entry: str) -> ConvCode:
        op = spec.op
        assert isinstance(op, Conv2d)
        windows, lanes = _windows(spec), point["lanes"]
        channels = spec.inputs[0].shape[1]
        plane = windows.rows.inputs, windows.columns.inputs
        is_row_major = point["input"] == ROW_MAJOR
        return ConvCode(
            entry=entry,
            channels=channels,
            outputs=spec.output.shape[1],
            windows=windows,
            source=Image.row_major(channels, *plane) if is_row_major else Image.blocked(lanes, *plane),
            result=Image.blocked(lanes, windows.rows.outputs, windows.columns.outputs),
            pixels=point["pixels"],
            blocks=point["blocks"],
            outer=point["outer"],
            epilogue=op.epilogue,
        )


def _windows(spec: LayerSpec) -> Windows:
    windows = Windows.of(spec)
    return windows.flattened if windows.is_pointwise else windows
