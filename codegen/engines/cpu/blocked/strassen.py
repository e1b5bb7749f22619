"""Pointwise convolution on blocks of channels by seven products of matrices of half the size, in place of eight."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from codegen.engine_registry import layout_named
from codegen.engines.cpu.blocked.conv_tiles import even_widths
from codegen.engines.cpu.blocked.kernel import BlockedKernel
from codegen.engines.cpu.blocked.strassen_code import PRODUCTS, QUARTERS, StrassenCode, pack_strassen
from codegen.engines.cpu.blocked.strassen_source import strassen_text
from codegen.engines.cpu.instructions import Count, epilogue_instructions, input_bytes, loads_of
from codegen.engines.cpu.kernel import checked_workspace
from codegen.engines.cpu.machine import FLOAT_BYTES, TileRegisters, cache_bytes, is_scalar
from codegen.engines.cpu.source import fill
from codegen.engines.cpu.threads import (
    CHANNELS_SHARED,
    PIXELS_SHARED,
    SHARED_NAMES,
    Share,
    nothing_shared,
    own_workspace,
    share_of_tiles,
    shared_axis,
    spans_of_tiles,
    threads_axis,
)
from codegen.graph import LayerSpec
from codegen.operators.conv2d import Conv2d
from codegen.program import CpuProgram
from codegen.schedule import Axis, Choice, Point, Work
from codegen.target import Target
from codegen.tensor import FloatArray
from codegen.windows import Windows

BLOCKS = (2, 3, 4)
CHUNKS = (4, 16)
FEW_CHANNELS, FEW_PIXELS = 96, 16  # below, sums take what a product less gains


class CpuBlockedStrassen(BlockedKernel):
    """Strassen's algorithm, one level of it in Winograd's form, of the matrices of a pointwise convolution: pixels and
    channels are halved.

    Sums of the weights' quarters are made when they are packed and take 7/4 of their memory. Those of inputs are made
    in the workspace for `chunk` register tiles of `pixels` pairs of pixels; then come, for `blocks` blocks of output
    channels of both halves at a time, the seven products of each tile and their sums. Threads share the tiles of
    pixels or the output channels: then each of them makes the sums of all inputs.

    Rounding errors grow, for quarters cancel: results are judged by their root mean square as well. (Strassen, Gaussian
    elimination is not optimal, 1969; the form of 15 sums: Winograd, On multiplication of 2 x 2 matrices, 1971; its
    errors: Higham, Accuracy and Stability of Numerical Algorithms, 2002, section 23.2.2.)

    Axes:
        pixels: pairs of pixels whose sums of a product are in registers at once
        blocks: blocks of output channels of a half whose sums of a product are in registers at once
        chunk: register tiles of pixels whose inputs are added at a time
        shared: what the threads share out: pixels (or rows) of all channels, or all pixels of some channels
    """

    rms_tolerance = 5e-5
    name = "cpu_blocked_strassen"
    axis_names = SHARED_NAMES

    def computes(self, spec: LayerSpec, target: Target) -> bool:
        op = spec.op
        if not isinstance(op, Conv2d) or op.groups != 1 or not Windows.of(spec).is_pointwise:
            return False
        if is_scalar(target):  # never timed there, where sums cost as much as products
            return False
        sizes = spec.weights[0].shape[:2]
        pairs = 2 * self.lanes(target)  # of blocks
        return (
            min(sizes) >= FEW_CHANNELS
            and all(size % pairs == 0 for size in sizes)
            and _plane(spec) >= FEW_PIXELS
        )

    def axes(self, spec: LayerSpec, target: Target) -> tuple[Axis, ...]:
        widths = self._widths(spec, target)
        return (
            self.lanes_axis(target),
            Axis("pixels", tuple(sorted({width for several in widths.values() for width in several}))),
            Axis("blocks", tuple(widths)),
            Axis("chunk", CHUNKS),
            shared_axis(target),
            threads_axis(target),
        )

    def _widths(self, spec: LayerSpec, target: Target) -> dict[int, tuple[int, ...]]:
        """Pairs of pixels worth trying with each number of blocks: sums, weights and inputs fill the registers."""
        pairs, registers = -(-_plane(spec) // 2), self.registers(target)
        every = {blocks: even_widths(pairs, _most_pixels(registers, blocks)) for blocks in BLOCKS}
        return {blocks: widths for blocks, widths in every.items() if widths}

    def pieces(self, spec: LayerSpec, point: Point) -> int:
        return _share(_code(spec, point, "kernel"), point["shared"], point["threads"]).pieces

    def refusal(self, spec: LayerSpec, target: Target, point: Point) -> str | None:
        code = _code(spec, point, "kernel")
        if point["pixels"] not in self._widths(spec, target)[point["blocks"]]:
            return "tiles of that width leave registers unused, or want more than there are"
        if point["chunk"] > min(CHUNKS) and code.tile_count <= min(CHUNKS):
            return "a smaller chunk has all tiles"
        if point["shared"] == CHANNELS_SHARED and code.tile_count >= 4 * point["threads"]:
            return "there are tiles enough to share"
        return nothing_shared(point) or checked_workspace(point["threads"] * code.workspace_bytes)

    def work(self, spec: LayerSpec, target: Target, choice: Choice) -> Work:
        code = self._targeted(_code(spec, {**choice.splits, **choice.tiles}, "kernel"), target)
        shared, threads, cache = choice.splits["shared"], choice.threads, cache_bytes(target)
        gathers = 1 if shared == PIXELS_SHARED else threads
        pairs = float(code.batch * code.pairs)
        count = Count()
        count.add(gathers * pairs * code.half_channels, alu=4, loads=4, stores=PRODUCTS - QUARTERS)
        tiles = code.batch * code.tile_count * -(-code.out_blocks // code.blocks)
        steps = float(PRODUCTS * tiles * code.half_channels)
        ordered = self.registers(target).ordered
        count.add_tiles(steps, max(code.heights), code.blocks * code.lanes, target, ordered)
        alu = 11 + 4 * epilogue_instructions(spec)
        count.add(pairs * code.outputs / 2, alu=alu, loads=PRODUCTS + 2, stores=PRODUCTS + 4)
        chunks = code.batch * -(-code.tile_count // code.chunk)
        passes = max(1.0, chunks / (threads if shared == PIXELS_SHARED else 1))
        streamed = loads_of(FLOAT_BYTES * code.weights_size, passes * (threads // gathers), cache)
        streamed += gathers * input_bytes(spec)
        held = code.workspace_bytes + FLOAT_BYTES * code.half_channels * code.blocks * code.lanes
        return count.work(
            spec,
            PRODUCTS * pairs * code.half_channels * (code.outputs / 2),
            streamed,
            float(held),
            balance=_share(code, shared, threads).balance,
            workspace_bytes=float(threads * code.workspace_bytes),
        )

    def _targeted(self, code: StrassenCode, target: Target) -> StrassenCode:
        """With the forms of products that a target has."""
        registers = self.registers(target)
        return replace(code, by_element=registers.scheduled, ordered=registers.ordered)

    def emit(
        self, spec: LayerSpec, target: Target, choice: Choice, weights: Sequence[FloatArray], entry: str
    ) -> CpuProgram:
        code = self._targeted(_code(spec, {**choice.splits, **choice.tiles}, entry), target)
        shared = choice.splits["shared"]
        share = _share(code, shared, choice.threads)
        source = strassen_text(code) + fill(
            _ENTRY,
            entry=entry,
            share=share.declaration,
            batch=code.batch,
            input=code.channels * code.plane,
            output=code.outputs * code.plane,
            bias=code.weights_size,
            work=own_workspace(choice.threads, code.workspace_bytes),
            spans=spans_of_tiles(share, shared, code.tile_count, code.out_blocks),
        )
        return CpuProgram(
            source=source,
            entry=entry,
            weights=pack_strassen(weights, code),
            input_sizes=(layout_named(choice.input_layouts[0]).elements(spec.inputs[0]),),
            output_sizes=(layout_named(choice.output_layout).elements(spec.output),),
            workspace_bytes=choice.threads * code.workspace_bytes,
            threads=choice.threads,
        )


def _most_pixels(registers: TileRegisters, blocks: int) -> int:
    return registers.pointwise_pixels(blocks) if registers.scheduled else registers.streamed_pixels(blocks)


def _plane(spec: LayerSpec) -> int:
    """Pixels of a picture."""
    _, _, height, width = spec.output.shape
    return height * width


def _code(spec: LayerSpec, point: Point, entry: str) -> StrassenCode:
    op = spec.op
    assert isinstance(op, Conv2d)
    return StrassenCode(
        entry=entry,
        batch=spec.output.shape[0],
        channels=spec.inputs[0].shape[1],
        outputs=spec.output.shape[1],
        plane=_plane(spec),
        lanes=point["lanes"],
        pixels=point["pixels"],
        blocks=point["blocks"],
        chunk=point["chunk"],
        epilogue=op.epilogue,
    )


def _share(code: StrassenCode, shared: str, threads: int) -> Share:
    return share_of_tiles(shared, threads, code.tile_count, code.out_blocks, code.blocks)


_ENTRY = """
    void $entry(const float *const *inputs, const float *weights, float *const *outputs, void *workspace, int part)
    {
        $share
        for (int n = 0; n < $batch; ++n)
            ${entry}_span(inputs[0] + n * $input, weights, weights + $bias, outputs[0] + n * $output,
                          $work, $spans);
    }
"""
