"""Convolution of integers of 8 bits by scheduled assembly of AArch64, from inputs packed as 16-bit elements."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar

from codegen.engine_registry import layout_named
from codegen.engines.cpu.blocked.kernel import BlockedKernel
from codegen.engines.cpu.instructions import Count, epilogue_instructions, input_bytes, loads_of
from codegen.engines.cpu.int8.conv_source import c_type
from codegen.engines.cpu.int8.epilogue import sums_are_large
from codegen.engines.cpu.int8.packed_source import PackedCode, pack_steps, packed_text
from codegen.engines.cpu.int8.packed_tile import MOST_PIXELS, PAIR
from codegen.engines.cpu.int8.products import QUAD
from codegen.engines.cpu.kernel import checked_workspace
from codegen.engines.cpu.machine import cache_bytes, product_form
from codegen.engines.cpu.source import fill
from codegen.engines.cpu.threads import Share, own_workspace, threads_axis
from codegen.graph import LayerSpec
from codegen.operators.quantized_conv2d import RESULTS, QuantizedConv2d
from codegen.program import CpuProgram
from codegen.requantization import is_arithmetic
from codegen.schedule import Axis, AxisNames, Choice, Point, Work
from codegen.target import Target
from codegen.tensor import Array
from codegen.windows import Windows

SIGN = 128  # less which unsigned inputs are signed
CHANNELS, TAPS = "channels", "taps"
CACHE_PARTS = 3  # of the cache, of which one is for packed inputs
MOST_WIDTH = 256  # of rows that a plane of pixels is cut into
PACKING_INSTRUCTIONS = 3.0  # of an element


class CpuInt8Packed(BlockedKernel):
    """Eight outputs of a row by two blocks of output channels in registers, four inputs of each at a time, which are
    elements of 16 bits: four channels at a tap of the window, or four taps of a row of one channel.

    The inputs of as many rows as fit a part of the cache are packed into the workspace, widened, with zero points
    beside the picture, columns apart by their place in the stride. Sums are exact.

    Axes:
        step: what is multiplied by one quad of weights: four channels, or four taps of a row
    """

    name = "cpu_int8_packed"
    element_types: ClassVar[frozenset[str]] = frozenset(RESULTS)
    axis_names: ClassVar[AxisNames] = {"step": (CHANNELS, TAPS)}
    takes_residuals: ClassVar[bool] = True

    def computes(self, spec: LayerSpec, target: Target) -> bool:
        op = spec.op
        if not isinstance(op, QuantizedConv2d) or op.groups != 1 or not is_arithmetic(op.epilogue):
            return False
        is_by_element = self.registers(target).by_element and product_form(target) == "signed"
        if not is_by_element or self.lanes(target) != QUAD:
            return False
        return all(tensor.shape == spec.output.shape for tensor in spec.inputs[1:])

    def axes(self, spec: LayerSpec, target: Target) -> tuple[Axis, ...]:
        columns = Windows.of(spec).columns
        has_taps = columns.taps > 1 and columns.dilation == 1 and spec.inputs[0].shape[1] < QUAD
        return (
            self.lanes_axis(target),
            Axis("step", (CHANNELS, TAPS) if has_taps else (CHANNELS,)),
            threads_axis(target),
        )

    def pieces(self, spec: LayerSpec, point: Point) -> int:
        return _windows(spec).rows.outputs

    def refusal(self, spec: LayerSpec, target: Target, point: Point) -> str | None:
        return checked_workspace(point["threads"] * _code(spec, target, point, "kernel").workspace_bytes)

    def work(self, spec: LayerSpec, target: Target, choice: Choice) -> Work:
        code, cache = _code(spec, target, {**choice.splits, **choice.tiles}, "kernel"), cache_bytes(target)
        batch, rows, count = spec.output.shape[0], code.windows.rows, Count()
        bands = -(-rows.outputs // (choice.threads * code.rows))
        packed = float(batch * bands * choice.threads * code.workspace_bytes // 2)
        count.add(packed, alu=PACKING_INSTRUCTIONS, loads=1, stores=1)
        tiles = float(batch * rows.outputs * len(code.tiles) * -(-code.out_blocks // PAIR))
        pixels = max(tile.pixels for tile in code.tiles)
        count.add_tiles(tiles * code.steps * QUAD, pixels, PAIR * QUAD, target)
        outputs = float(batch * rows.outputs * code.windows.columns.outputs * code.out_blocks * QUAD)
        count.add(outputs, alu=epilogue_instructions(spec), stores=1)
        streamed = loads_of(code.weights_bytes, float(batch * bands), cache) + input_bytes(spec)
        macs = float(spec.output.elements * code.channels * rows.taps * code.windows.columns.taps)
        return count.work(
            spec,
            macs,
            streamed,
            float(code.workspace_bytes + code.tile_bytes),
            balance=_share(code, choice).balance,
            workspace_bytes=float(choice.threads * code.workspace_bytes),
        )

    def emit(
        self, spec: LayerSpec, target: Target, choice: Choice, weights: Sequence[Array], entry: str
    ) -> CpuProgram:
        code = _code(spec, target, {**choice.splits, **choice.tiles}, entry)
        code, share = replace(code, is_large=sums_are_large(weights)), _share(code, choice)
        sizes = tuple(
            layout_named(layout).elements(tensor)
            for layout, tensor in zip(choice.input_layouts, spec.inputs, strict=True)
        )
        size, batch = layout_named(choice.output_layout).elements(spec.output), spec.output.shape[0]
        further = f"(const {c_type(code.further)} *)inputs[1] + n * {size // batch}," if code.further else ""
        source = packed_text(code) + fill(
            _ENTRY,
            entry=entry,
            share=share.declaration,
            batch=batch,
            input=sizes[0] // batch,
            bias=code.weights_bytes // 4,
            factor=code.weights_bytes // 4 + code.out_blocks * QUAD,
            further=further,
            result=c_type(code.dtype),
            output=size // batch,
            work=own_workspace(choice.threads, code.workspace_bytes),
            first=share.first,
            end=share.end,
        )
        return CpuProgram(
            source,
            entry,
            pack_steps(weights, code),
            sizes,
            (size,),
            choice.threads * code.workspace_bytes,
            choice.threads,
        )


def _code(spec: LayerSpec, target: Target, point: Point, entry: str) -> PackedCode:
    op, windows, most = spec.op, _windows(spec), cache_bytes(target) // (CACHE_PARTS * point["threads"])
    assert isinstance(op, QuantizedConv2d)
    code = PackedCode(
        entry=entry,
        channels=spec.inputs[0].shape[1],
        outputs=spec.output.shape[1],
        windows=windows,
        spread=QUAD if point["step"] == CHANNELS else 1,
        rows=1,
        epilogue=op.epilogue,
        zero=op.zero,
        offset=-SIGN if spec.inputs[0].dtype == "uint8" else 0,
        dtype=op.dtype,
        further=spec.inputs[1].dtype if len(spec.inputs) > 1 else None,
    )
    step = max(1, code.workspace_bytes // code.packed_rows) * windows.rows.stride
    rows = 1 + max(0, most - code.workspace_bytes) // step
    bands = -(-windows.rows.outputs // (point["threads"] * rows))
    return replace(code, rows=-(-windows.rows.outputs // (point["threads"] * bands)))


def _windows(spec: LayerSpec) -> Windows:
    """Those of a layer; of a pointwise one in rows of a register tile each, or else in as few tiles as divisors of the
    plane's size allow.
    """
    windows = Windows.of(spec)
    if not windows.is_pointwise:
        return windows
    flattened, pixels = windows.flattened, windows.flattened.columns.outputs
    widths = [width for width in range(1, min(pixels, MOST_WIDTH) + 1) if pixels % width == 0]
    whole = [width for width in (MOST_PIXELS, MOST_PIXELS - 1) if width in widths]
    width = whole[0] if whole else min(widths, key=lambda width: pixels // width * -(-width // MOST_PIXELS))
    rows = replace(flattened.rows, inputs=pixels // width, outputs=pixels // width)
    return Windows(rows, replace(flattened.columns, inputs=width, outputs=width))


def _share(code: PackedCode, choice: Choice) -> Share:
    return Share(code.windows.rows.outputs, choice.threads)


_ENTRY = """
    void $entry(const float *const *inputs, const float *weights, float *const *outputs, void *workspace, int part)
    {
        $share
        for (int n = 0; n < $batch; ++n)
            ${entry}_span((const uint8_t *)inputs[0] + n * $input, (const int8_t *)weights,
                          (const int32_t *)(weights + $bias), weights + $factor, $further
                          ($result *)outputs[0] + n * $output, (int16_t *)$work, $first, $end);
    }
"""
