"""Maximum and average pooling, global pooling included."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from codegen.engines.cpu.expression_text import scalar_prologue, scalar_text
from codegen.engines.cpu.instructions import (
    ADDRESS_INSTRUCTIONS,
    LOOP_INSTRUCTIONS,
    Count,
    epilogue_instructions,
)
from codegen.engines.cpu.kernel import CpuKernel
from codegen.engines.cpu.machine import FLOAT_BYTES, tile_columns
from codegen.engines.cpu.source import fill
from codegen.engines.cpu.threads import Share, threads_axis
from codegen.engines.cpu.windows import CLIP_FUNCTION, window_constants
from codegen.graph import LayerSpec
from codegen.operators.pool2d import Pool2d
from codegen.program import CpuProgram
from codegen.schedule import Axis, Choice, Point, Work
from codegen.target import Target
from codegen.tensor import FloatArray
from codegen.windows import Windows

DIVISION_INSTRUCTIONS = 19.0  # VFP11 (ARM1176 TRM): a single-precision division holds its unit that long
CLIP_INSTRUCTIONS = 16.0


class CpuPool(CpuKernel):
    """Windows are cut off at the input's edges, so padding never takes part; it only counts in a divisor.

    `columns` outputs of a row are in registers at once; of a global pool, that many partial results. Threads share
    the channels.

    Axes:
        columns: outputs of a row in registers at once; of a global pool, partial results
        threads: how many threads of the CPU share the layer
    """

    name = "cpu_pool"

    def computes(self, spec: LayerSpec, target: Target) -> bool:
        return isinstance(spec.op, Pool2d) and spec.op.kind in ("max", "average")

    def axes(self, spec: LayerSpec, target: Target) -> tuple[Axis, ...]:
        return Axis("columns", (1, *tile_columns(target))), threads_axis(target)

    def pieces(self, spec: LayerSpec, point: Point) -> int:
        return _planes(spec)

    def work(self, spec: LayerSpec, target: Target, choice: Choice) -> Work:
        op, columns = _pool(spec), choice.tiles["columns"]
        outputs, taps = float(spec.output.elements), op.kernel[0] * op.kernel[1]
        reduction = 2.0 if op.kind == "max" else 1.0
        count = Count()
        loop = (LOOP_INSTRUCTIONS + ADDRESS_INSTRUCTIONS) / columns
        count.add(outputs * taps, alu=reduction + loop, loads=1)
        if _is_global(spec):
            count.add(outputs * columns, alu=2 * reduction)
        else:
            first, end = Windows.of(spec).columns.interior
            border = spec.output.shape[3] - (end - first) // columns * columns
            rows = outputs / spec.output.shape[3]
            count.add(rows * (1 + border), alu=CLIP_INSTRUCTIONS)
        division = DIVISION_INSTRUCTIONS if op.kind == "average" else 0.0
        count.add(outputs, alu=division + epilogue_instructions(spec), stores=1)
        held = FLOAT_BYTES * (op.kernel[0] * spec.inputs[0].shape[3] + columns)
        return count.work(spec, 0.0, 0.0, held, balance=Share(_planes(spec), choice.threads).balance)

    def emit(
        self, spec: LayerSpec, target: Target, choice: Choice, weights: Sequence[FloatArray], entry: str
    ) -> CpuProgram:
        columns = choice.tiles["columns"]
        emit = _global_source if _is_global(spec) else _windows_source
        return CpuProgram(
            source=scalar_prologue(_pool(spec).epilogue)
            + emit(entry, spec, columns, Share(_planes(spec), choice.threads)),
            entry=entry,
            weights=np.zeros(0, dtype=np.float32),
            input_sizes=(spec.inputs[0].elements,),
            output_sizes=(spec.output.elements,),
            workspace_bytes=0,
            threads=choice.threads,
        )


def _pool(spec: LayerSpec) -> Pool2d:
    assert isinstance(spec.op, Pool2d)
    return spec.op


def _planes(spec: LayerSpec) -> int:
    return spec.output.shape[0] * spec.output.shape[1]


def _is_global(spec: LayerSpec) -> bool:
    op = _pool(spec)
    return spec.inputs[0].shape[2:] == op.kernel and not any(op.pads) and op.dilations == (1, 1)


def _update(op: Pool2d, total: str, value: str) -> str:
    if op.kind == "max":
        return f"{total} = {value} > {total} ? {value} : {total};"
    return f"{total} += {value};"


def _start(op: Pool2d) -> str:
    return "-INFINITY" if op.kind == "max" else "0.0f"


def _global_source(entry: str, spec: LayerSpec, columns: int, share: Share) -> str:
    op, constants = _pool(spec), window_constants(spec)
    pixels = constants["in_plane"]
    return fill(
        _GLOBAL,
        entry=entry,
        share=share.declaration,
        first_plane=share.first,
        end_plane=share.end,
        pixels=pixels,
        whole=pixels - pixels % columns,
        columns=columns,
        start=_start(op),
        update_block=_update(op, "partial[j]", "x[i + j]"),
        update_rest=_update(op, "partial[0]", "x[i]"),
        update_all=_update(op, "v", "partial[j]"),
        divide=f"v /= {pixels}.0f;" if op.kind == "average" else "",
        value=scalar_text(op.epilogue, ("v",)),
    )


def _windows_source(entry: str, spec: LayerSpec, columns: int, share: Share) -> str:
    op, constants = _pool(spec), window_constants(spec)
    first, end = Windows.of(spec).columns.interior
    counted = f"{constants['taps']}" if op.include_padding else "(ky_end - ky_first) * (kx_end - kx_first)"
    counted_block = (
        f"{constants['taps']}" if op.include_padding else f"(ky_end - ky_first) * {constants['kernel_w']}"
    )
    return fill(
        CLIP_FUNCTION + _WINDOWS,
        **constants,
        entry=entry,
        share=share.declaration,
        first_plane=share.first,
        end_plane=share.end,
        columns=columns,
        first=first,
        blocks_end=first + (end - first) // columns * columns,
        start=_start(op),
        update_one=_update(op, "v", "x[ix]"),
        update_block=_update(op, "partial[j]", f"from[j * {constants['stride_w']}]"),
        divide_one=f"v /= (float)({counted});" if op.kind == "average" else "",
        divide_block=f"v /= (float)({counted_block});" if op.kind == "average" else "",
        value=scalar_text(op.epilogue, ("v",)),
    )


_GLOBAL = """
    #include <math.h>

    void $entry(const float *const *inputs, const float *weights, float *const *outputs, void *workspace, int part)
    {
        float *const output = outputs[0];
        $share
        (void)weights;
        (void)workspace;
        for (int c = $first_plane; c < $end_plane; ++c) {
            const float *restrict x = inputs[0] + c * $pixels;
            float partial[$columns];
            for (int j = 0; j < $columns; ++j)
                partial[j] = $start;
            int i = 0;
            for (; i < $whole; i += $columns)
                for (int j = 0; j < $columns; ++j)
                    $update_block
            for (; i < $pixels; ++i)
                $update_rest
            float v = $start;
            for (int j = 0; j < $columns; ++j)
                $update_all
            $divide
            output[c] = $value;
        }
    }
"""

_WINDOWS = """
    #include <math.h>

    static float ${entry}_one(const float *restrict plane, int iy, int ky_first, int ky_end, int ox)
    {
        int kx_first, kx_end;
        ${entry}_clip(ox * $stride_w - $left, $in_width, $kernel_w, $dilation_w, &kx_first, &kx_end);
        float v = $start;
        for (int ky = ky_first; ky < ky_end; ++ky)
            for (int kx = kx_first; kx < kx_end; ++kx) {
                const float *x = plane + (iy + ky * $dilation_h) * $in_width;
                const int ix = ox * $stride_w - $left + kx * $dilation_w;
                $update_one
            }
        $divide_one
        return $value;
    }

    static void ${entry}_row(const float *restrict plane, int oy, float *restrict y)
    {
        const int iy = oy * $stride_h - $top;
        int ky_first, ky_end;
        ${entry}_clip(iy, $in_height, $kernel_h, $dilation_h, &ky_first, &ky_end);
        int ox = 0;
        for (; ox < $first; ++ox)
            y[ox] = ${entry}_one(plane, iy, ky_first, ky_end, ox);
        for (; ox < $blocks_end; ox += $columns) {
            float partial[$columns];
            for (int j = 0; j < $columns; ++j)
                partial[j] = $start;
            for (int ky = ky_first; ky < ky_end; ++ky)
                for (int kx = 0; kx < $kernel_w; ++kx) {
                    const int ix = ox * $stride_w - $left + kx * $dilation_w;
                    const float *restrict from = plane + (iy + ky * $dilation_h) * $in_width + ix;
                    for (int j = 0; j < $columns; ++j)
                        $update_block
                }
            for (int j = 0; j < $columns; ++j) {
                float v = partial[j];
                $divide_block
                y[ox + j] = $value;
            }
        }
        for (; ox < $width; ++ox)
            y[ox] = ${entry}_one(plane, iy, ky_first, ky_end, ox);
    }

    void $entry(const float *const *inputs, const float *weights, float *const *outputs, void *workspace, int part)
    {
        float *const output = outputs[0];
        $share
        (void)weights;
        (void)workspace;
        for (int c = $first_plane; c < $end_plane; ++c)
            for (int oy = 0; oy < $height; ++oy)
                ${entry}_row(inputs[0] + c * $in_plane, oy, output + c * $plane + oy * $width);
    }
"""
