"""Convolution of integers of 8 bits by the dot products of AArch64 cores that have them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from codegen.engines.cpu.blocked.conv_tiles import even_widths
from codegen.engines.cpu.blocked.kernel import blocks_of
from codegen.engines.cpu.instructions import Count
from codegen.engines.cpu.int8.conv import CpuInt8Conv
from codegen.engines.cpu.int8.conv_source import QuantizedConvCode
from codegen.engines.cpu.int8.dot_products import HELD, DotProducts
from codegen.engines.cpu.int8.products import QUAD
from codegen.engines.cpu.machine import REGISTERS, TileRegisters, has_dot_products
from codegen.graph import LayerSpec
from codegen.schedule import Choice, Point, Work
from codegen.target import Target
from codegen.tensor import Array
from codegen.windows import Windows

BLOCKS = (1, 2, 3, 4, 6, 8)  # few pixels, as a fully connected layer has, leave registers for many


class CpuInt8Dot(CpuInt8Conv):
    """`pixels` outputs of a row by `blocks` blocks of output channels in registers, four input channels at a time by
    sdot of ARMv8.2, for cores of AArch64 that have it: neighbouring pixels are loaded four at a time.

    Sums are exact. Nothing is copied: windows read zero points beside the picture, or skip what adds nothing.
    """

    name = "cpu_int8_dot"

    def computes(self, spec: LayerSpec, target: Target) -> bool:
        return has_dot_products(target) and self.lanes(target) == QUAD and super().computes(spec, target)

    def widths(self, spec: LayerSpec, blocks: int, registers: TileRegisters) -> tuple[int, ...]:
        windows = Windows.of(spec)
        columns = windows.flattened.columns if windows.is_pointwise else windows.columns
        return even_widths(columns.outputs, most_pixels(blocks))

    def widths_of_blocks(self, spec: LayerSpec, target: Target) -> dict[int, tuple[int, ...]]:
        most = blocks_of(spec.output.shape[1], self.lanes(target))
        return {b: self.widths(spec, b, self.registers(target)) for b in BLOCKS if b <= most}

    def count_tiles(self, count: Count, code: QuantizedConvCode, tiles: float, target: Target) -> None:
        count.add_tiles(tiles * code.quads * code.taps, code.pixels, code.blocks * code.lanes, target)

    def work(self, spec: LayerSpec, target: Target, choice: Choice) -> Work:
        work = super().work(spec, target, choice)
        return replace(work, macs=work.macs / QUAD)  # of quads, as instructions count them

    def packed_bytes(self, spec: LayerSpec, target: Target, code: QuantizedConvCode) -> int:
        return code.out_blocks * code.block_weights

    def code_of(
        self, spec: LayerSpec, target: Target, point: Point, weights: Sequence[Array], entry: str
    ) -> QuantizedConvCode:
        products = DotProducts(point["lanes"], "signed", spec.inputs[0].dtype)
        return self.code_for(spec, point, entry, products)


def most_pixels(blocks: int) -> int:
    """The most pixels of a tile whose sums, weights and inputs, and what the sign is exchanged by, registers hold."""
    free = REGISTERS - blocks - 1
    return max(pixels for pixels in range(1, free) if pixels * blocks - (-pixels // HELD) <= free)
