"""Depthwise convolution of integers of 8 bits on blocks of channels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
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
from codegen.engines.cpu.int8.depthwise_source import DepthwiseCode, depthwise_text, pack_depthwise
from codegen.engines.cpu.int8.epilogue import sums_are_large
from codegen.engines.cpu.int8.products import QUAD, Products
from codegen.engines.cpu.machine import product_form
from codegen.engines.cpu.source import fill
from codegen.engines.cpu.threads import PIXELS_SHARED, SHARED_NAMES, nothing_shared, shared_axis, threads_axis
from codegen.graph import LayerSpec
from codegen.operators.quantized_conv2d import RESULTS, QuantizedConv2d
from codegen.program import CpuProgram
from codegen.requantization import is_arithmetic
from codegen.schedule import Axis, Choice, Point, Work
from codegen.target import Target
from codegen.tensor import Array
from codegen.windows import Windows


class CpuInt8Depthwise(BlockedKernel):
    """Four neighbouring pixels of each channel by as many taps at a time. Rows are copied between zero points into a
    ring that the nearest cache holds.

    Axes:
        shared: what the threads share out: pixels (or rows) of all channels, or all pixels of some channels
    """

    name = "cpu_int8_depthwise"
    element_types: ClassVar[frozenset[str]] = frozenset(RESULTS)
    axis_names = SHARED_NAMES
    takes_residuals: ClassVar[bool] = True

    def computes(self, spec: LayerSpec, target: Target) -> bool:
        op = spec.op
        if not isinstance(op, QuantizedConv2d) or op.groups == 1 or op.dilations != (1, 1):
            return False
        return is_arithmetic(op.epilogue) and all(t.shape == spec.output.shape for t in spec.inputs[1:])

    def axes(self, spec: LayerSpec, target: Target) -> tuple[Axis, ...]:
        return self.lanes_axis(target), shared_axis(target), threads_axis(target)

    def pieces(self, spec: LayerSpec, point: Point) -> int:
        return planes_share(spec, point["lanes"], point).pieces

    def refusal(self, spec: LayerSpec, target: Target, point: Point) -> str | None:
        return nothing_shared(point)

    def work(self, spec: LayerSpec, target: Target, choice: Choice) -> Work:
        code = _code(spec, choice.tiles["lanes"], target, "kernel", is_wide=False)
        batch, rows, columns = spec.output.shape[0], code.windows.rows, code.windows.columns
        vectors = float(batch * code.blocks * rows.outputs * columns.outputs * code.lanes)
        quads = vectors * rows.taps * code.quads
        count = Count()
        count.add(quads, alu=QUAD, loads=1.0 / code.together)
        count.add(vectors, alu=epilogue_instructions(spec), stores=1)
        count.add_copy(float(spec.inputs[0].elements) / QUAD)
        count.add(vectors / columns.outputs, alu=LOOP_INSTRUCTIONS + ADDRESS_INSTRUCTIONS)
        macs = float(spec.output.elements * rows.taps * columns.taps)
        workspace = float(code.workspace_bytes * choice.threads)
        balance = planes_share(spec, code.lanes, choice.splits).balance
        return count.work(spec, macs, 0.0, workspace, balance=balance, workspace_bytes=workspace)

    def emit(
        self, spec: LayerSpec, target: Target, choice: Choice, weights: Sequence[Array], entry: str
    ) -> CpuProgram:
        is_wide = product_form(target) == "signed" and int(np.min(weights[0], initial=0)) == -128
        code = _code(spec, choice.tiles["lanes"], target, entry, is_wide=is_wide)
        code = replace(code, is_large=sums_are_large(weights))
        sizes = tuple(
            layout_named(layout).elements(tensor)
            for layout, tensor in zip(choice.input_layouts, spec.inputs, strict=True)
        )
        size = layout_named(choice.output_layout).elements(spec.output)
        return CpuProgram(
            depthwise_text(code) + _entry_text(spec, code, choice),
            entry,
            pack_depthwise(weights, code),
            sizes,
            (size,),
            code.workspace_bytes * choice.threads,
            choice.threads,
        )


def _code(spec: LayerSpec, lanes: int, target: Target, entry: str, *, is_wide: bool) -> DepthwiseCode:
    op = spec.op
    assert isinstance(op, QuantizedConv2d)
    return DepthwiseCode(
        entry=entry,
        channels=spec.output.shape[1],
        windows=Windows.of(spec),
        products=Products(lanes, product_form(target), spec.inputs[0].dtype, is_wide),
        zero=op.zero,
        epilogue=op.epilogue,
        dtype=op.dtype,
        further=spec.inputs[1].dtype if len(spec.inputs) > 1 else None,
    )


def _entry_text(spec: LayerSpec, code: DepthwiseCode, choice: Choice) -> str:
    """The entry that computes the thread's rows of each block."""
    lanes, rows, columns = code.lanes, code.windows.rows, code.windows.columns
    planes = spec.output.shape[0] * blocks_of(code.channels, lanes)
    share = planes_share(spec, lanes, choice.splits)
    if choice.splits["shared"] == PIXELS_SHARED:
        bounds, span = ("0", str(planes)), (share.first, share.end)
    else:
        bounds = f"{share.first} / {rows.outputs}", f"({share.end} + {rows.outputs - 1}) / {rows.outputs}"
        before = f"plane * {rows.outputs}"
        span = (
            f"{share.first} > {before} ? {share.first} - {before} : 0",
            f"{share.end} - {before} < {rows.outputs} ? {share.end} - {before} : {rows.outputs}",
        )
    plane = rows.outputs * columns.outputs * lanes
    return fill(
        _ENTRY,
        entry=code.entry,
        share=share.declaration,
        first=bounds[0],
        end=bounds[1],
        blocks=code.blocks,
        source=rows.inputs * columns.inputs * lanes,
        block_weights=code.block_weights,
        bias=code.blocks * code.block_weights // 4,
        factor=code.blocks * (code.block_weights // 4 + lanes),
        lanes=lanes,
        further=f"(const {c_type(code.further)} *)inputs[1] + plane * {plane}," if code.further else "",
        result=c_type(code.dtype),
        plane=plane,
        rows=", ".join(span),
        ring=f"(uint8_t *)workspace + part * {code.workspace_bytes}",
    )


_ENTRY = """
    void $entry(const float *const *inputs, const float *weights, float *const *outputs, void *workspace, int part)
    {
        $share
        for (int plane = $first; plane < $end; ++plane) {
            const int b = plane % $blocks;
            ${entry}_span((const uint8_t *)inputs[0] + plane * $source, (const int8_t *)weights + b * $block_weights,
                          (const int32_t *)(weights + $bias) + b * $lanes, weights + $factor + b * $lanes, $further
                          ($result *)outputs[0] + plane * $plane, $rows, $ring);
        }
    }
"""
