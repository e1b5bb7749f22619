"""Convolution of integers of 8 bits on blocks of channels: quads of inputs times quads of weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar

import numpy as np

from codegen.engine_registry import layout_named
from codegen.engines.cpu.blocked.conv_tiles import RegisterTiledConv, conv_share, even_widths
from codegen.engines.cpu.blocked.geometry import Image
from codegen.engines.cpu.blocked.kernel import IN_BLOCKS, blocked_layout
from codegen.engines.cpu.instructions import Count
from codegen.engines.cpu.int8.conv_source import QuantizedConvCode, c_type, conv_text, pack_conv
from codegen.engines.cpu.int8.epilogue import sums_are_large
from codegen.engines.cpu.int8.grouped_tile import most_pixels
from codegen.engines.cpu.int8.products import QUAD, Products
from codegen.engines.cpu.machine import TileRegisters, product_form
from codegen.engines.cpu.source import fill
from codegen.engines.cpu.threads import PIXELS_SHARED
from codegen.graph import LayerSpec
from codegen.operators.quantized_conv2d import RESULTS, QuantizedConv2d
from codegen.program import CpuProgram
from codegen.requantization import is_arithmetic
from codegen.schedule import Axis, AxisNames, Choice, Point
from codegen.target import Target
from codegen.tensor import Array, FloatArray
from codegen.windows import Windows

IN_QUADS = "quads"
INPUTS = (IN_BLOCKS, IN_QUADS)
IN_C, GROUPED = (
    2.0,
    1.25,
)  # times as long as packed inputs (`packed`) take on AArch64, by the A53's modelled clock
QUADS_LAYOUT = blocked_layout(QUAD)


class CpuInt8Conv(RegisterTiledConv[QuantizedConvCode]):
    """`pixels` outputs of a row by `blocks` blocks of output channels in registers, four input channels at a time:
    by vpdpbusd with AVX-512 VNNI, pairs of words on other x86, smull and sadalp with NEON (pointwise on AArch64 by
    elements of 16 bits, in scheduled assembly), smlad on ARMv6.

    Nothing is copied: windows read zero points beside the picture, or skip what adds nothing. A few channels may lie in
    blocks of four.

    Axes:
        input: how the first input lies: in blocks (channel<lanes>) or quads (channel4)
    """

    name = "cpu_int8_conv"
    element_types: ClassVar[frozenset[str]] = frozenset(RESULTS)
    axis_names: ClassVar[AxisNames] = {**RegisterTiledConv.axis_names, "input": INPUTS}
    takes_residuals: ClassVar[bool] = True

    def computes(self, spec: LayerSpec, target: Target) -> bool:
        op = spec.op
        if not isinstance(op, QuantizedConv2d) or op.groups != 1 or not is_arithmetic(op.epilogue):
            return False
        return all(tensor.shape == spec.output.shape for tensor in spec.inputs[1:])

    def input_axes(self, spec: LayerSpec, target: Target) -> tuple[Axis, ...]:
        fits_quad = spec.inputs[0].shape[1] <= QUAD < self.lanes(target)
        return (Axis("input", INPUTS if fits_quad else (IN_BLOCKS,)),)

    def layouts(self, spec: LayerSpec, point: Point) -> tuple[tuple[str, ...], str]:
        (source, *others), result = super().layouts(spec, point)
        return (QUADS_LAYOUT if point["input"] == IN_QUADS else source, *others), result

    def registers(self, target: Target) -> TileRegisters:
        registers = super().registers(target)
        if product_form(target) == "bytes":
            return registers
        return replace(registers, count=registers.count - 4, ordered="")  # weights and inputs are two each

    def widths(self, spec: LayerSpec, blocks: int, registers: TileRegisters) -> tuple[int, ...]:
        windows = _windows(spec)
        if registers.by_element and windows.is_pointwise:
            stride = QUAD * windows.columns.stride
            return even_widths(windows.columns.outputs, most_pixels(blocks, stride))
        return even_widths(windows.columns.outputs, replace(registers, by_element=False).pixels(blocks))

    def count_tiles(self, count: Count, code: QuantizedConvCode, tiles: float, target: Target) -> None:
        steps = tiles * code.quads * QUAD * code.taps
        if super().registers(target).by_element:
            steps *= GROUPED if replace(code, by_element=True).is_grouped else IN_C
        count.add_tiles(steps, code.pixels, code.blocks * code.lanes, target)

    def packed_bytes(self, spec: LayerSpec, target: Target, code: QuantizedConvCode) -> int:
        by_element = (
            super().registers(target).by_element
        )  # of weights without a -128, which are not known here
        return code.out_blocks * replace(code, by_element=by_element).block_weights

    def text(self, code: QuantizedConvCode) -> str:
        return conv_text(code)

    def pack(self, weights: Sequence[Array], code: QuantizedConvCode) -> FloatArray:
        return pack_conv(weights, code)

    def code(self, spec: LayerSpec, point: Point, entry: str) -> QuantizedConvCode:
        return self.code_for(spec, point, entry, Products(point["lanes"], "bytes", spec.inputs[0].dtype))

    def code_for(self, spec: LayerSpec, point: Point, entry: str, products: Products) -> QuantizedConvCode:
        """What the text at a point depends on, with the products of a target."""
        op = spec.op
        assert isinstance(op, QuantizedConv2d)
        windows, lanes = _windows(spec), point["lanes"]
        plane = windows.rows.inputs, windows.columns.inputs
        return QuantizedConvCode(
            entry=entry,
            channels=spec.inputs[0].shape[1],
            outputs=spec.output.shape[1],
            windows=windows,
            source=Image.blocked(QUAD if point["input"] == IN_QUADS else lanes, *plane),
            result=Image.blocked(lanes, windows.rows.outputs, windows.columns.outputs),
            pixels=point["pixels"],
            blocks=point["blocks"],
            outer=point["outer"],
            epilogue=op.epilogue,
            products=products,
            zero=op.zero,
            dtype=op.dtype,
            further=spec.inputs[1].dtype if len(spec.inputs) > 1 else None,
        )

    def code_of(
        self, spec: LayerSpec, target: Target, point: Point, weights: Sequence[Array], entry: str
    ) -> QuantizedConvCode:
        """What the text depends on for a target and weights, with what it does best with these."""
        is_wide = product_form(target) == "signed" and int(np.min(weights[0], initial=0)) == -128
        products = Products(point["lanes"], product_form(target), spec.inputs[0].dtype, is_wide)
        by_element = super().registers(target).by_element and not is_wide
        return replace(self.code_for(spec, point, entry, products), by_element=by_element)

    def emit(
        self, spec: LayerSpec, target: Target, choice: Choice, weights: Sequence[Array], entry: str
    ) -> CpuProgram:
        point = {**choice.splits, **choice.tiles}
        code = replace(self.code_of(spec, target, point, weights, entry), is_large=sums_are_large(weights))
        share = conv_share(code, choice.splits["shared"], choice.threads)
        whole = ("0", str(code.out_blocks), "0", str(code.tile_count))
        by_pixels = choice.splits["shared"] == PIXELS_SHARED
        spans = (*whole[:2], share.first, share.end) if by_pixels else (share.first, share.end, *whole[2:])
        sizes = tuple(
            layout_named(layout).elements(tensor)
            for layout, tensor in zip(choice.input_layouts, spec.inputs, strict=True)
        )
        size, batch = layout_named(choice.output_layout).elements(spec.output), spec.output.shape[0]
        further = f"(const {c_type(code.further)} *)inputs[1] + n * {size // batch}," if code.further else ""
        source = self.text(code) + fill(
            _ENTRY,
            entry=entry,
            share=share.declaration,
            batch=batch,
            input=sizes[0] // batch,
            bias=code.out_blocks * code.block_weights // 4,
            factor=code.out_blocks * (code.block_weights // 4 + code.lanes),
            further=further,
            result=c_type(code.dtype),
            output=size // batch,
            spans=", ".join(spans),
        )
        return CpuProgram(source, entry, self.pack(weights, code), sizes, (size,), 0, choice.threads)


def _windows(spec: LayerSpec) -> Windows:
    windows = Windows.of(spec)
    return windows.flattened if windows.is_pointwise else windows


_ENTRY = """
    void $entry(const float *const *inputs, const float *weights, float *const *outputs, void *workspace, int part)
    {
        $share
        (void)workspace;
        for (int n = 0; n < $batch; ++n)
            ${entry}_span((const uint8_t *)inputs[0] + n * $input, (const int8_t *)weights,
                          (const int32_t *)(weights + $bias), weights + $factor, $further
                          ($result *)outputs[0] + n * $output, $spans);
    }
"""
