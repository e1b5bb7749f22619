"""Winograd convolution of integers of 8 bits: 3x3 filters as products of transformed tiles, with exact sums."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar

from codegen.engine_registry import layout_named
from codegen.engines.cpu.blocked.kernel import BlockedKernel, blocks_of
from codegen.engines.cpu.instructions import Count, epilogue_instructions, input_bytes, loads_of
from codegen.engines.cpu.int8.conv_source import c_type
from codegen.engines.cpu.int8.epilogue import sums_are_large
from codegen.engines.cpu.int8.products import QUAD
from codegen.engines.cpu.int8.winograd_code import (
    MOST_INPUT,
    TRANSFORMS,
    Int8WinogradCode,
    is_exact,
    pack_int8_winograd,
)
from codegen.engines.cpu.int8.winograd_source import int8_winograd_text
from codegen.engines.cpu.kernel import checked_workspace
from codegen.engines.cpu.machine import cache_bytes, product_form
from codegen.engines.cpu.source import fill
from codegen.engines.cpu.threads import Share, own_workspace, threads_axis
from codegen.graph import LayerSpec
from codegen.operators.quantized_conv2d import RESULTS, QuantizedConv2d
from codegen.program import CpuProgram
from codegen.requantization import is_arithmetic
from codegen.schedule import Axis, Choice, Point, Work
from codegen.target import Target
from codegen.tensor import Array
from codegen.winograd import TAPS

BLOCKS = (2, 3)
GROUPS = (1, 2, 4)
MOST_CHANNELS = 3600  # whose sums, times what F(2 x 2) makes of them, int32 holds whatever the weights
LEAST_MAGNITUDE_OPERATIONS = (
    16.0  # of a line's transform of inputs and of one of products, F(4 x 4); 4 of F(2 x 2)
)


class CpuInt8Winograd(BlockedKernel):
    """F(`tile` x `tile`, 3 x 3) in integers of 16 bits with sums in int32: tiles by `blocks` blocks of output channels
    of a product in registers, by smlal of AArch64.

    `chunk` times as many tiles are transformed into the workspace, multiplied there and transformed back. Results are
    exact: weights whose sums F(4 x 4) has no bits for are computed by F(2 x 2), which always has.

    Axes:
        tile: rows and columns of outputs that are transformed back together
        blocks: blocks of output channels whose products are in registers at once
        chunk: how many times as many tiles are transformed at a time as are in registers
    """

    name = "cpu_int8_winograd"
    element_types: ClassVar[frozenset[str]] = frozenset(RESULTS)
    takes_residuals: ClassVar[bool] = True

    def computes(self, spec: LayerSpec, target: Target) -> bool:
        op = spec.op
        if not isinstance(op, QuantizedConv2d) or op.groups != 1 or not is_arithmetic(op.epilogue):
            return False
        is_by_element = self.registers(target).by_element and product_form(target) == "signed"
        if not is_by_element or self.lanes(target) != QUAD:
            return False
        if op.kernel != (TAPS, TAPS) or not op.strides == op.dilations == (1, 1):
            return False
        if any(tensor.shape != spec.output.shape for tensor in spec.inputs[1:]):
            return False
        # Of layers that fill no block, most of what is transformed would be padding.
        return min(spec.weights[0].shape[:2]) >= QUAD and spec.weights[0].shape[1] <= MOST_CHANNELS

    def axes(self, spec: LayerSpec, target: Target) -> tuple[Axis, ...]:
        most = blocks_of(spec.output.shape[1], QUAD)
        return (
            self.lanes_axis(target),
            Axis("tile", tuple(TRANSFORMS)),
            Axis("blocks", tuple(b for b in BLOCKS if b <= most) or (1,)),
            Axis("chunk", GROUPS),
            threads_axis(target),
        )

    def pieces(self, spec: LayerSpec, point: Point) -> int:
        return _code(spec, point, "kernel").group_count

    def refusal(self, spec: LayerSpec, target: Target, point: Point) -> str | None:
        code = _code(spec, point, "kernel")
        if point["chunk"] > 1 and code.group_count <= point["chunk"] // 2:
            return "fewer register tiles are all"
        return checked_workspace(point["threads"] * code.workspace_bytes)

    def work(self, spec: LayerSpec, target: Target, choice: Choice) -> Work:
        code, cache = _code(spec, {**choice.splits, **choice.tiles}, "kernel"), cache_bytes(target)
        squared, channel_tiles = code.points**2, -(-code.out_blocks // code.blocks)
        inputs = float(code.tiles * code.in_blocks * QUAD)
        outputs = float(code.tiles * code.out_blocks * QUAD)
        line = LEAST_MAGNITUDE_OPERATIONS if code.tile > 2 else 4.0
        count = Count()
        count.add(inputs, alu=2 * code.points * line, loads=squared, stores=squared)
        steps = float(squared * code.group_count * channel_tiles * code.in_blocks * QUAD)
        count.add_tiles(steps, max(code.heights), code.blocks * QUAD, target)
        ends = (epilogue_instructions(spec) + 2) * code.tile**2
        count.add(
            outputs, alu=(code.points + code.tile) * line + ends, loads=squared, stores=squared + code.tile**2
        )
        chunks = -(-code.group_count // code.groups)
        streamed = loads_of(code.weights_bytes, max(1.0, chunks / choice.threads), cache) + input_bytes(spec)
        return count.work(
            spec,
            float(squared * code.tiles * code.channels * code.outputs),
            streamed,
            float(code.workspace_bytes + code.panel * code.blocks * 2),
            balance=_share(code, choice).balance,
            workspace_bytes=float(choice.threads * code.workspace_bytes),
        )

    def emit(
        self, spec: LayerSpec, target: Target, choice: Choice, weights: Sequence[Array], entry: str
    ) -> CpuProgram:
        code = replace(
            _code(spec, {**choice.splits, **choice.tiles}, entry), is_large=sums_are_large(weights)
        )
        workspace_bytes = code.workspace_bytes
        if not is_exact(weights, code.tile):
            code = replace(code, tile=min(TRANSFORMS))
            workspace_bytes = max(workspace_bytes, code.workspace_bytes)
        share = _share(code, choice)
        sizes = tuple(
            layout_named(layout).elements(tensor)
            for layout, tensor in zip(choice.input_layouts, spec.inputs, strict=True)
        )
        source = int8_winograd_text(code) + fill(
            _ENTRY,
            entry=entry,
            share=share.declaration,
            bias=code.weights_bytes // 4,
            factor=code.weights_bytes // 4 + code.out_blocks * QUAD,
            further=f"(const {c_type(code.further)} *)inputs[1]," if code.further else "",
            result=c_type(code.dtype),
            work=own_workspace(choice.threads, workspace_bytes),
            first=share.first,
            end=share.end,
        )
        return CpuProgram(
            source,
            entry,
            pack_int8_winograd(weights, code),
            sizes,
            (layout_named(choice.output_layout).elements(spec.output),),
            choice.threads * workspace_bytes,
            choice.threads,
        )


def _code(spec: LayerSpec, point: Point, entry: str) -> Int8WinogradCode:
    op = spec.op
    assert isinstance(op, QuantizedConv2d)
    batch, channels, *source = spec.inputs[0].shape
    return Int8WinogradCode(
        entry=entry,
        batch=batch,
        channels=channels,
        outputs=spec.output.shape[1],
        source=(source[0], source[1]),
        result=(spec.output.shape[2], spec.output.shape[3]),
        pads=op.pads[:2],
        tile=point["tile"],
        blocks=point["blocks"],
        groups=point["chunk"],
        epilogue=op.epilogue,
        zero=op.zero,
        offset=-MOST_INPUT if spec.inputs[0].dtype == "uint8" else 0,
        dtype=op.dtype,
        further=spec.inputs[1].dtype if len(spec.inputs) > 1 else None,
    )


def _share(code: Int8WinogradCode, choice: Choice) -> Share:
    return Share(code.group_count, choice.threads)


_ENTRY = """
    void $entry(const float *const *inputs, const float *weights, float *const *outputs, void *workspace, int part)
    {
        $share
        ${entry}_span((const uint8_t *)inputs[0], (const int16_t *)weights, (const int32_t *)(weights + $bias),
                      weights + $factor, $further ($result *)outputs[0], $work, $first, $end);
    }
"""
