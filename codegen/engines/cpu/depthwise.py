"""Depthwise convolution in place: an interior without border tests, and a border with them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from codegen.engines.cpu.expression_text import scalar_prologue, scalar_text
from codegen.engines.cpu.gemm_tile import matrix_and_bias
from codegen.engines.cpu.instructions import (
    ADDRESS_INSTRUCTIONS,
    LOOP_INSTRUCTIONS,
    Count,
    epilogue_instructions,
)
from codegen.engines.cpu.kernel import CpuKernel, Point
from codegen.engines.cpu.machine import FLOAT_BYTES, accumulator_capacity, tile_columns
from codegen.engines.cpu.source import fill
from codegen.engines.cpu.threads import Share, threads_axis
from codegen.engines.cpu.windows import CLIP_FUNCTION, window_constants
from codegen.graph import LayerSpec
from codegen.operators.conv2d import Conv2d
from codegen.program import CpuProgram
from codegen.schedule import Axis, Choice, Work
from codegen.target import Target
from codegen.tensor import FloatArray
from codegen.windows import Windows

BORDER_INSTRUCTIONS = 20.0  # clipping one window in both directions


class CpuDepthwise(CpuKernel):
    """One input channel per group; `columns` neighbouring outputs of a row in registers; threads share the channels."""

    name = "cpu_depthwise"

    def computes(self, spec: LayerSpec, target: Target) -> bool:
        return isinstance(spec.op, Conv2d) and spec.op.groups == spec.inputs[0].shape[1]

    def axes(self, spec: LayerSpec, target: Target) -> tuple[Axis, ...]:
        return Axis("columns", (1, *tile_columns(target))), threads_axis(target)

    def pieces(self, spec: LayerSpec, point: Point) -> int:
        return spec.output.shape[1]

    def work(self, spec: LayerSpec, target: Target, choice: Choice) -> Work:
        op, columns = _conv(spec), choice.tiles["columns"]
        width = spec.output.shape[3]
        taps, kernel_w = op.kernel[0] * op.kernel[1], op.kernel[1]
        first, end = Windows.of(spec).columns.interior
        blocks = (end - first) // columns
        border = width - blocks * columns
        rows = spec.output.elements / width
        is_dense = op.strides[1] == op.dilations[1] == 1  # neighbouring outputs share loads
        distinct = (columns + kernel_w - 1) / kernel_w if is_dense else float(columns)
        spilled = max(0, columns + kernel_w + 1 - accumulator_capacity(target))
        count = Count()
        count.add(
            rows * blocks * taps,
            alu=columns + (LOOP_INSTRUCTIONS + ADDRESS_INSTRUCTIONS) / kernel_w,
            loads=distinct + 1 + spilled,
            stores=spilled,
        )
        count.add(rows * border * taps, alu=1 + LOOP_INSTRUCTIONS + ADDRESS_INSTRUCTIONS, loads=2)
        count.add(rows * (1 + border), alu=BORDER_INSTRUCTIONS)
        count.add(rows * width, alu=epilogue_instructions(spec), stores=1)
        held = FLOAT_BYTES * (op.kernel[0] * spec.inputs[0].shape[3] + width)
        balance = Share(spec.output.shape[1], choice.threads).balance
        return count.work(spec, rows * width * taps, 0.0, held, balance=balance)

    def emit(
        self, spec: LayerSpec, target: Target, choice: Choice, weights: Sequence[FloatArray], entry: str
    ) -> CpuProgram:
        op, columns = _conv(spec), choice.tiles["columns"]
        first, end = Windows.of(spec).columns.interior
        share = Share(spec.output.shape[1], choice.threads)
        source = fill(
            CLIP_FUNCTION + _SOURCE,
            **window_constants(spec),
            entry=entry,
            share=share.declaration,
            first_channel=share.first,
            end_channel=share.end,
            multiplier=spec.output.shape[1] // spec.inputs[0].shape[1],
            first=first,
            blocks_end=first + (end - first) // columns * columns,
            columns=columns,
            factors=", ".join(f"w{t} = w[ky * {op.kernel[1]} + {t}]" for t in range(op.kernel[1])),
            products=" + ".join(
                f"w{t} * from[j * {op.strides[1]} + {t * op.dilations[1]}]" for t in range(op.kernel[1])
            ),
            value=scalar_text(op.epilogue, ("v",)),
        )
        matrix, bias = matrix_and_bias(weights)
        return CpuProgram(
            source=scalar_prologue(op.epilogue) + source,
            entry=entry,
            weights=np.concatenate([matrix.reshape(-1), bias]),
            input_sizes=(spec.inputs[0].elements,),
            output_sizes=(spec.output.elements,),
            workspace_bytes=0,
            threads=choice.threads,
        )


def _conv(spec: LayerSpec) -> Conv2d:
    assert isinstance(spec.op, Conv2d)
    return spec.op


_SOURCE = """
    static float ${entry}_one(const float *restrict x, const float *restrict w, float start, int iy,
                              int ky_first, int ky_end, int ox)
    {
        int kx_first, kx_end;
        ${entry}_clip(ox * $stride_w - $left, $in_width, $kernel_w, $dilation_w, &kx_first, &kx_end);
        float v = start;
        for (int ky = ky_first; ky < ky_end; ++ky)
            for (int kx = kx_first; kx < kx_end; ++kx)
                v += w[ky * $kernel_w + kx] *
                     x[(iy + ky * $dilation_h) * $in_width + ox * $stride_w - $left + kx * $dilation_w];
        return $value;
    }

    static void ${entry}_row(const float *restrict x, const float *restrict w, float start, int oy,
                              float *restrict y)
    {
        const int iy = oy * $stride_h - $top;
        int ky_first, ky_end;
        ${entry}_clip(iy, $in_height, $kernel_h, $dilation_h, &ky_first, &ky_end);
        int ox = 0;
        for (; ox < $first; ++ox)
            y[ox] = ${entry}_one(x, w, start, iy, ky_first, ky_end, ox);
        for (; ox < $blocks_end; ox += $columns) {
            float sum[$columns];
            for (int j = 0; j < $columns; ++j)
                sum[j] = start;
            for (int ky = ky_first; ky < ky_end; ++ky) {
                const float *restrict from = x + (iy + ky * $dilation_h) * $in_width + ox * $stride_w - $left;
                const float $factors;
                for (int j = 0; j < $columns; ++j)
                    sum[j] += $products;
            }
            for (int j = 0; j < $columns; ++j) {
                const float v = sum[j];
                y[ox + j] = $value;
            }
        }
        for (; ox < $width; ++ox)
            y[ox] = ${entry}_one(x, w, start, iy, ky_first, ky_end, ox);
    }

    void $entry(const float *const *inputs, const float *weights, float *const *outputs, void *workspace, int part)
    {
        float *const output = outputs[0];
        $share
        (void)workspace;
        for (int n = 0; n < $batch; ++n)
            for (int c = $first_channel; c < $end_channel; ++c) {
                const float *x = inputs[0] + (n * $channels + c / $multiplier) * $in_plane;
                float *y = output + (n * $out + c) * $plane;
                for (int oy = 0; oy < $height; ++oy)
                    ${entry}_row(x, weights + c * $taps, weights[$out * $taps + c], oy, y + oy * $width);
            }
    }
"""
