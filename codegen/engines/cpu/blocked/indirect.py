"""Convolution on blocks of channels through a table of input offsets, for small planes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from codegen.engines.cpu.blocked.conv_tiles import even_widths
from codegen.engines.cpu.blocked.geometry import Image
from codegen.engines.cpu.blocked.indirect_source import indirect_text, pack_indirect
from codegen.engines.cpu.blocked.indirect_tile import IndirectCode
from codegen.engines.cpu.blocked.widened_conv import WidenedConv
from codegen.engines.cpu.instructions import Count
from codegen.engines.cpu.machine import TileRegisters
from codegen.graph import LayerSpec
from codegen.operators.conv2d import Conv2d
from codegen.schedule import Axis, AxisNames, Point
from codegen.target import Target
from codegen.tensor import FloatArray
from codegen.windows import Windows

MOST_REGISTERS = (
    16  # with more, tiles of short rows have sums enough, and nothing is won (measured on AVX-512)
)
MOST_OUTPUTS = 256  # of a plane: its table has as many entries for each tap
TABLE, LITERALS = "table", "literals"
MOST_LITERALS = 1024  # offsets in code of their own
MOST_POINTERS = 16  # about the general registers
FEWER_TILES = 0.75  # than rows cut by themselves need, at most: less is not worth multiplying by zeros


class CpuBlockedIndirect(WidenedConv[IndirectCode]):
    """`pixels` outputs of the plane, taken as one row, by `blocks` blocks of output channels in registers.

    A table says where the inputs of each tap lie, so that short rows fill whole tiles and each vector of weights is
    used for more pixels; taps beside the picture read zeros, which are multiplied too. Where `offsets` are literals
    each tile has code of its own instead, with its part of the table in the instructions and without those taps.
    Nothing is copied.

    Axes:
        offsets: where inputs lie: in a table, or as literals in the code of each tile

    Formulas:
        block: o // lanes
        padded: (O + lanes - 1) // lanes
        first: block // blocks * blocks
        wide: min(blocks, padded - first)
        weight: first * lanes * I * Y * X + (((y * X + x) * I + i) * wide + block - first) * lanes + o % lanes
        bias: padded * lanes * I * Y * X + o
        elements: padded * lanes * (I * Y * X + 1)
    """

    name = "cpu_blocked_indirect"
    axis_names: ClassVar[AxisNames] = {**WidenedConv.axis_names, "offsets": (TABLE, LITERALS)}

    def computes(self, spec: LayerSpec, target: Target) -> bool:
        return super().computes(spec, target) and bool(self.widths_of_blocks(spec, target))

    def widths(self, spec: LayerSpec, blocks: int, registers: TileRegisters) -> tuple[int, ...]:
        windows = Windows.of(spec)
        rows, columns = windows.rows.outputs, windows.columns.outputs
        widths = even_widths(rows * columns, registers.pixels(blocks))
        if (
            registers.count > MOST_REGISTERS
            or windows.is_pointwise
            or not widths
            or rows * columns > MOST_OUTPUTS
        ):
            return ()
        by_rows = rows * -(-columns // widths[-1])
        return widths if -(-rows * columns // widths[-1]) <= FEWER_TILES * by_rows else ()

    def input_axes(self, spec: LayerSpec, target: Target) -> tuple[Axis, ...]:
        return (Axis("offsets", (TABLE, LITERALS) if _fits_code(spec) else (TABLE,)),)

    def refusal(self, spec: LayerSpec, target: Target, point: Point) -> str | None:
        if point["offsets"] == TABLE and point["pixels"] > MOST_POINTERS and _fits_code(spec):
            return "so many pointers leave the registers, which literals do not need"
        return super().refusal(spec, target, point)

    def text(self, code: IndirectCode) -> str:
        return indirect_text(code)

    def pack(self, weights: Sequence[FloatArray], code: IndirectCode) -> FloatArray:
        return pack_indirect(weights, code)

    def count_tiles(self, count: Count, code: IndirectCode, tiles: float, target: Target) -> None:
        super().count_tiles(count, code, tiles, target)
        if code.literals:
            return
        taps, blocks = tiles * code.taps, -(-code.channels // code.source.lanes)
        count.add(
            taps, alu=4.0 * code.pixels, loads=code.pixels, stores=code.pixels
        )  # pointers and their steps
        count.add(taps * blocks, alu=code.pixels, loads=code.pixels)  # on to the next block

    def code(self, spec: LayerSpec, point: Point, entry: str) -> IndirectCode:
        op = spec.op
        assert isinstance(op, Conv2d)
        windows, lanes = Windows.of(spec), point["lanes"]
        return IndirectCode(
            entry=entry,
            channels=spec.inputs[0].shape[1],
            outputs=spec.output.shape[1],
            windows=windows,
            source=Image.blocked(lanes, windows.rows.inputs, windows.columns.inputs),
            result=Image.blocked(lanes, windows.rows.outputs, windows.columns.outputs),
            pixels=point["pixels"],
            blocks=point["blocks"],
            outer=point["outer"],
            epilogue=op.epilogue,
            literals=point["offsets"] == LITERALS,
        )


def _fits_code(spec: LayerSpec) -> bool:
    """Whether the table is small enough to be written into the code."""
    windows = Windows.of(spec)
    taps = windows.rows.taps * windows.columns.taps
    outputs = windows.rows.outputs * windows.columns.outputs
    return taps * outputs <= MOST_LITERALS
