"""Winograd convolution on blocks of channels: 3x3 filters as products of transformed tiles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from codegen.engine_registry import layout_named
from codegen.engines.cpu.blocked.kernel import BlockedKernel, blocks_of
from codegen.engines.cpu.blocked.winograd_code import WinogradCode, pack_winograd
from codegen.engines.cpu.blocked.winograd_source import winograd_text
from codegen.engines.cpu.blocked.winograd_transform import input_operations, output_operations
from codegen.engines.cpu.instructions import Count, epilogue_instructions, input_bytes, loads_of
from codegen.engines.cpu.kernel import checked_workspace
from codegen.engines.cpu.machine import FLOAT_BYTES, cache_bytes, is_scalar, tile_registers
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
from codegen.winograd import TAPS, TILES

BLOCKS = (1, 2, 3, 4)
GROUPS = (1, 4)
FEW_TILES, MANY_TILES = 8, 16  # of 4x4: how often each weight is used decides between F(2 x 2) and F(4 x 4)
FEW_BLOCKS = 8  # up to here a narrower last tile of output channels costs much


class CpuBlockedWinograd(BlockedKernel):
    """F(`tile` x `tile`, 3 x 3): `pixels` tiles by `blocks` blocks of output channels of a product in registers.

    `chunk` times as many tiles are transformed into the workspace; then, for one tile of output channels after the
    other, the products are summed there and transformed back. Threads share the tiles (pixels) or the output
    channels: then each of them transforms all inputs.

    Rounding errors grow with the tile, so that its results are judged by their root mean square as well.

    Axes:
        tile: rows and columns of outputs that are transformed back together
        pixels: tiles whose products are in registers at once
        blocks: blocks of output channels whose products are in registers at once
        chunk: how many times as many tiles are transformed at a time as are in registers
        shared: what the threads share out: pixels (or rows) of all channels, or all pixels of some channels
    """

    rms_tolerance = 1e-4
    name = "cpu_blocked_winograd"
    axis_names = SHARED_NAMES

    def computes(self, spec: LayerSpec, target: Target) -> bool:
        op = spec.op
        return (
            isinstance(op, Conv2d)
            and op.kernel == (TAPS, TAPS)
            and op.strides == op.dilations == (1, 1)
            and op.groups == 1
            # Of layers that fill no block, most of what is transformed would be padding.
            and min(spec.weights[0].shape[:2]) >= self.lanes(target)
        )

    def axes(self, spec: LayerSpec, target: Target) -> tuple[Axis, ...]:
        sizes = _register_tiles(spec, target, self.lanes(target))
        return (
            self.lanes_axis(target),
            Axis("tile", TILES),
            Axis("pixels", tuple(sorted(set(sizes.values())))),
            Axis("blocks", tuple(sizes)),
            Axis("chunk", GROUPS),
            shared_axis(target),
            threads_axis(target),
        )

    def pieces(self, spec: LayerSpec, point: Point) -> int:
        return _share(_code(spec, point, "kernel"), point["shared"], point["threads"]).pieces

    def refusal(self, spec: LayerSpec, target: Target, point: Point) -> str | None:
        code = self._targeted(_code(spec, point, "kernel"), target)
        sizes = _register_tiles(spec, target, self.lanes(target))
        if point["pixels"] != sizes[point["blocks"]]:
            return "tiles of that size leave registers unused, or want more than there are"
        largest = replace(code, tile=max(TILES)).tiles
        if point["tile"] < max(TILES) and largest >= MANY_TILES:
            return "larger tiles need fewer products"
        if point["tile"] == max(TILES) and largest < FEW_TILES:
            return "smaller tiles need fewer weights, and each is used too seldom"
        ragged = {blocks: code.out_blocks % blocks > 0 for blocks in sizes}
        if ragged[point["blocks"]] and code.out_blocks < FEW_BLOCKS and not all(ragged.values()):
            return "the last register tile would be narrow"
        if point["shared"] == CHANNELS_SHARED and code.group_count >= 4 * point["threads"]:
            return "there are tiles enough to share"
        if point["chunk"] > 1 and code.group_count == 1:
            return "one register tile is all"
        return nothing_shared(point) or checked_workspace(point["threads"] * code.workspace_bytes)

    def work(self, spec: LayerSpec, target: Target, choice: Choice) -> Work:
        code = self._targeted(_code(spec, {**choice.splits, **choice.tiles}, "kernel"), target)
        shared, threads, cache = choice.splits["shared"], choice.threads, cache_bytes(target)
        gathers = 1 if shared == PIXELS_SHARED else threads
        squared, channel_tiles = code.points**2, -(-code.out_blocks // code.blocks)
        inputs = float(code.tiles * code.in_blocks * code.lanes)
        outputs = float(code.tiles * code.out_blocks * code.lanes)
        count = Count()
        lines = 2 * code.points  # 1D transforms
        count.add(gathers * inputs, alu=lines * input_operations(code.tile), loads=squared, stores=squared)
        steps = float(squared * code.group_count * channel_tiles * code.channels)
        ordered = self.registers(target).ordered
        count.add_tiles(steps, max(code.heights), code.blocks * code.lanes, target, ordered)
        lines = code.points + code.tile
        clamps = epilogue_instructions(spec) * code.tile**2
        alu = lines * output_operations(code.tile) + clamps
        count.add(outputs, alu=alu, loads=squared, stores=squared + code.tile**2)
        chunks = -(-code.group_count // code.groups)
        passes = max(1.0, chunks / (threads if shared == PIXELS_SHARED else 1))
        streamed = loads_of(FLOAT_BYTES * code.weights_size, passes * (threads // gathers), cache)
        streamed += gathers * input_bytes(spec)
        macs = float(squared * code.tiles * code.channels * code.outputs)
        return count.work(
            spec,
            macs,
            streamed,
            float(code.workspace_bytes + FLOAT_BYTES * code.channels * code.blocks * code.lanes),
            balance=_share(code, shared, threads).balance,
            workspace_bytes=float(threads * code.workspace_bytes),
        )

    def _targeted(self, code: WinogradCode, target: Target) -> WinogradCode:
        """With the forms of products that a target has."""
        registers = tile_registers(target, code.lanes)
        scheduled = registers.scheduled
        return replace(code, by_element=scheduled, by_point=scheduled, ordered=registers.ordered)

    def emit(
        self, spec: LayerSpec, target: Target, choice: Choice, weights: Sequence[FloatArray], entry: str
    ) -> CpuProgram:
        code = self._targeted(_code(spec, {**choice.splits, **choice.tiles}, entry), target)
        shared = choice.splits["shared"]
        share = _share(code, shared, choice.threads)
        source = winograd_text(code) + fill(
            _ENTRY,
            entry=entry,
            share=share.declaration,
            bias=code.weights_size,
            work=own_workspace(choice.threads, code.workspace_bytes),
            spans=spans_of_tiles(share, shared, code.group_count, code.out_blocks),
        )
        return CpuProgram(
            source=source,
            entry=entry,
            weights=pack_winograd(weights, code),
            input_sizes=(layout_named(choice.input_layouts[0]).elements(spec.inputs[0]),),
            output_sizes=(layout_named(choice.output_layout).elements(spec.output),),
            workspace_bytes=choice.threads * code.workspace_bytes,
            threads=choice.threads,
        )


def _register_tiles(spec: LayerSpec, target: Target, lanes: int) -> dict[int, int]:
    """Tiles for each number of blocks: sums, weights and inputs fill the registers."""
    registers = tile_registers(target, lanes)
    most = blocks_of(spec.output.shape[1], lanes)
    is_scheduled = registers.scheduled and spec.inputs[0].shape[1] % lanes == 0
    pixels = registers.pointwise_pixels if is_scheduled else registers.streamed_pixels
    sizes = {b: pixels(b) for b in BLOCKS if b <= most}
    sizes = {b: size for b, size in sizes.items() if size > 1}
    if len(sizes) > 1 and not is_scalar(target):
        del sizes[1]  # would load a broadcast for every sum
    return sizes


def _code(spec: LayerSpec, point: Point, entry: str) -> WinogradCode:
    op = spec.op
    assert isinstance(op, Conv2d)
    batch, channels, *source = spec.inputs[0].shape
    return WinogradCode(
        entry=entry,
        batch=batch,
        channels=channels,
        outputs=spec.output.shape[1],
        source=(source[0], source[1]),
        result=(spec.output.shape[2], spec.output.shape[3]),
        pads=op.pads[:2],
        lanes=point["lanes"],
        tile=point["tile"],
        pixels=point["pixels"],
        blocks=point["blocks"],
        groups=point["chunk"],
        epilogue=op.epilogue,
    )


def _share(code: WinogradCode, shared: str, threads: int) -> Share:
    return share_of_tiles(shared, threads, code.group_count, code.out_blocks, code.blocks)


_ENTRY = """
    void $entry(const float *const *inputs, const float *weights, float *const *outputs, void *workspace, int part)
    {
        float *const output = outputs[0];
        $share
        ${entry}_span(inputs[0], weights, weights + $bias, output, $work, $spans);
    }
"""
