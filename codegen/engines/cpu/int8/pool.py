"""Largest elements and sums of windows of integers of 8 bits on blocks of channels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from codegen.engine_registry import layout_named
from codegen.engines.cpu.blocked.kernel import BlockedKernel, blocks_of
from codegen.engines.cpu.blocked.planes import planes_share
from codegen.engines.cpu.instructions import (
    ADDRESS_INSTRUCTIONS,
    LOOP_INSTRUCTIONS,
    Count,
    epilogue_instructions,
)
from codegen.engines.cpu.int8.conv_source import c_type
from codegen.engines.cpu.int8.epilogue import VECTORS, stored
from codegen.engines.cpu.int8.vectors import types_text
from codegen.engines.cpu.source import fill
from codegen.engines.cpu.threads import PIXELS_SHARED, SHARED_NAMES, nothing_shared, shared_axis, threads_axis
from codegen.expression import RESULT
from codegen.graph import LayerSpec
from codegen.operators.pool2d import Pool2d
from codegen.operators.quantized_conv2d import BYTES
from codegen.operators.quantized_pool2d import QuantizedPool2d
from codegen.program import CpuProgram
from codegen.requantization import is_arithmetic
from codegen.schedule import Axis, Choice, Point, Work
from codegen.target import Target
from codegen.tensor import FloatArray
from codegen.windows import Windows


class CpuInt8Pool(BlockedKernel):
    """One output of a block of channels after another; windows are cut off where the plane ends.

    Axes:
        shared: what the threads share out: pixels (or rows) of all channels, or all pixels of some channels
    """

    name = "cpu_int8_pool"
    element_types: ClassVar[frozenset[str]] = frozenset({"float32", *BYTES})
    axis_names = SHARED_NAMES

    def computes(self, spec: LayerSpec, target: Target) -> bool:
        op = spec.op
        if isinstance(op, QuantizedPool2d):
            return is_arithmetic(op.epilogue)
        is_largest = isinstance(op, Pool2d) and op.kind == "max" and op.epilogue == RESULT
        return is_largest and spec.inputs[0].dtype in BYTES

    def axes(self, spec: LayerSpec, target: Target) -> tuple[Axis, ...]:
        return self.lanes_axis(target), shared_axis(target), threads_axis(target)

    def pieces(self, spec: LayerSpec, point: Point) -> int:
        return planes_share(spec, point["lanes"], point).pieces

    def refusal(self, spec: LayerSpec, target: Target, point: Point) -> str | None:
        return nothing_shared(point)

    def work(self, spec: LayerSpec, target: Target, choice: Choice) -> Work:
        windows, lanes = Windows.of(spec), choice.tiles["lanes"]
        taps = windows.rows.taps * windows.columns.taps
        outputs = float(layout_named(choice.output_layout).elements(spec.output))
        count = Count()
        count.add(outputs * taps, alu=2, loads=1)
        loops = windows.rows.taps * LOOP_INSTRUCTIONS + ADDRESS_INSTRUCTIONS
        count.add(outputs / lanes, alu=loops)
        count.add(outputs, alu=epilogue_instructions(spec), stores=1)
        return count.work(spec, 0.0, 0.0, 0.0, balance=planes_share(spec, lanes, choice.splits).balance)

    def emit(
        self, spec: LayerSpec, target: Target, choice: Choice, weights: Sequence[FloatArray], entry: str
    ) -> CpuProgram:
        lanes, windows = choice.tiles["lanes"], Windows.of(spec)
        rows, columns = windows.rows, windows.columns
        planes = spec.output.shape[0] * blocks_of(spec.output.shape[1], lanes)
        share = planes_share(spec, lanes, choice.splits)
        if choice.splits["shared"] == PIXELS_SHARED:
            bounds, span = ("0", str(planes)), (share.first, share.end)
        else:
            bounds = f"{share.first} / {rows.outputs}", f"({share.end} + {rows.outputs - 1}) / {rows.outputs}"
            before = f"plane * {rows.outputs}"
            span = (
                f"({share.first} > {before} ? {share.first} - {before} : 0)",
                f"({share.end} - {before} < {rows.outputs} ? {share.end} - {before} : {rows.outputs})",
            )
        source = types_text(lanes) + fill(
            _SOURCE,
            entry=entry,
            share=share.declaration,
            first=bounds[0],
            end=bounds[1],
            row_first=span[0],
            row_end=span[1],
            lanes=lanes,
            input=rows.inputs * columns.inputs * lanes,
            output=rows.outputs * columns.outputs * lanes,
            result=c_type(spec.output.dtype),
            row_stride=rows.stride,
            row_pad=rows.pad,
            row_taps=rows.taps,
            row_step=rows.dilation,
            height=rows.inputs,
            columns=columns.outputs,
            column_stride=columns.stride,
            column_pad=columns.pad,
            column_taps=columns.taps,
            column_step=columns.dilation,
            width=columns.inputs,
            **_steps(spec, lanes),
        )
        sizes = tuple(layout_named(choice.output_layout).elements(t) for t in (spec.inputs[0], spec.output))
        nothing = np.zeros(0, dtype=np.float32)
        return CpuProgram(source, entry, nothing, sizes[:1], sizes[1:], 0, choice.threads)


def _steps(spec: LayerSpec, lanes: int) -> dict[str, str]:
    """How a window begins, what an element of it does, and how it ends."""
    op, kind = spec.op, f"{VECTORS[spec.inputs[0].dtype]}{lanes}"
    element = f"*(const {kind} *)(row + x * {lanes})"
    if isinstance(op, QuantizedPool2d):
        taps = op.kernel[0] * op.kernel[1]
        real = f"__builtin_convertvector(total, real{lanes})"
        end = stored(lanes, "to", op.epilogue, op.dtype, ["v"])
        return {
            "begin": f"sum{lanes} total = (sum{lanes}){{0}} - {op.zero * taps};",
            "step": f"total += __builtin_convertvector({element}, sum{lanes});",
            "finish": f"const real{lanes} v = {real}; {end}",
        }
    lowest = np.iinfo(spec.inputs[0].dtype).min
    return {
        "begin": f"{kind} most = ({kind}){{0}} + ({c_type(spec.inputs[0].dtype)}){lowest};",
        "step": (
            f"const {kind} v = {element};\n{' ' * 24}"
            f"for (int l = 0; l < {lanes}; ++l)\n{' ' * 28}most[l] = v[l] > most[l] ? v[l] : most[l];"
        ),
        "finish": f"*({kind} *)to = most;",
    }


_SOURCE = """
    void $entry(const float *const *inputs, const float *weights, float *const *outputs, void *workspace, int part)
    {
        $share
        (void)weights;
        (void)workspace;
        for (int plane = $first; plane < $end; ++plane) {
            const uint8_t *const from = (const uint8_t *)inputs[0] + plane * $input;
            $result *to = ($result *)outputs[0] + plane * $output + $row_first * $columns * $lanes;
            for (int oy = $row_first; oy < $row_end; ++oy)
                for (int ox = 0; ox < $columns; ++ox, to += $lanes) {
                    $begin
                    for (int ky = 0; ky < $row_taps; ++ky) {
                        const int y = oy * $row_stride - $row_pad + ky * $row_step;
                        if ((unsigned)y >= ${height}u)
                            continue;
                        const uint8_t *const row = from + y * $width * $lanes;
                        for (int kx = 0; kx < $column_taps; ++kx) {
                            const int x = ox * $column_stride - $column_pad + kx * $column_step;
                            if ((unsigned)x >= ${width}u)
                                continue;
                            $step
                        }
                    }
                    $finish
                }
        }
    }
"""
