"""Direct convolution on blocks of channels: broadcast inputs times vectors of weights, sums in registers."""

from __future__ import annotations

from collections.abc import Sequence

from codegen.cpu.blocked.conv_source import CHANNELS_OUTER, PIXELS_OUTER, ConvCode, conv_text, pack_conv
from codegen.cpu.blocked.geometry import Image, Windows
from codegen.cpu.blocked.kernel import BlockedKernel, blocks_of, lanes_axis
from codegen.cpu.instructions import Count, clamp_instructions, input_bytes, loads_of, weight_bytes
from codegen.cpu.kernel import Point
from codegen.cpu.machine import block_lanes, block_registers, cache_bytes
from codegen.cpu.source import fill
from codegen.cpu.threads import Share, threads_axis
from codegen.graph import Conv2d, FloatArray, LayerSpec
from codegen.layout import layout_named
from codegen.program import CpuProgram
from codegen.schedule import Axis, Choice, Work
from codegen.target import Target

BLOCKS = (1, 2, 3, 4)
WIDTHS = 2  # of tiles, for each number of blocks: the widest that fits and the next that cuts a row evenly
PIXELS_SHARED, CHANNELS_SHARED = 0, 1


class CpuBlockedConv(BlockedKernel):
    """`pixels` outputs of a row by `blocks` blocks of output channels in registers; nothing is copied or padded.

    A 1x1 convolution takes the whole plane for one row. `outer` is walked in the outer loop: tiles of pixels (0, the
    weights are passed over for each) or tiles of channels (1, the inputs are); `shared` is what threads share out.
    The input may be row-major where it fills no block (`row_major`): the first layer of a network.
    """

    name = "cpu_blocked_conv"

    def computes(self, spec: LayerSpec) -> bool:
        return isinstance(spec.op, Conv2d) and spec.op.groups == 1

    def axes(self, spec: LayerSpec, target: Target) -> tuple[Axis, ...]:
        lanes = block_lanes(target)
        blocks = tuple(b for b in BLOCKS if b <= blocks_of(spec.output.shape[1], lanes))
        pixels = sorted({width for b in blocks for width in tile_widths(spec, b, block_registers(target))})
        return (
            lanes_axis(target),
            Axis("pixels", tuple(pixels)),
            Axis("blocks", blocks),
            Axis("outer", (PIXELS_OUTER, CHANNELS_OUTER)),
            Axis("row_major", (0,) if spec.inputs[0].shape[1] >= lanes else (0, 1)),
            Axis("shared", (PIXELS_SHARED, CHANNELS_SHARED), "split"),
            threads_axis(target),
        )

    def layouts(self, spec: LayerSpec, point: Point) -> tuple[tuple[str, ...], str]:
        (source,), result = super().layouts(spec, point)
        return ("nchw" if point["row_major"] else source,), result

    def pieces(self, spec: LayerSpec, point: Point) -> int:
        return _share(_code(spec, point, "kernel"), point["shared"], point["threads"]).pieces

    def refusal(self, spec: LayerSpec, target: Target, point: Point) -> str | None:
        if point["threads"] == 1 and point["shared"] != PIXELS_SHARED:
            return "one thread shares nothing"
        if point["pixels"] not in tile_widths(spec, point["blocks"], block_registers(target)):
            return "tiles of that width leave registers unused, or want more than there are"
        return None

    def work(self, spec: LayerSpec, target: Target, choice: Choice) -> Work:
        code = _code(spec, {**choice.splits, **choice.tiles}, "kernel")
        cache, batch, lanes = cache_bytes(target), spec.output.shape[0], code.lanes
        shared, outer = choice.splits["shared"], choice.tiles["outer"]
        channel_tiles = -(-code.out_blocks // code.blocks)
        steps = batch * code.tile_count * channel_tiles * code.channels * code.taps
        count = Count()
        count.add_tiles(float(steps), code.pixels, code.blocks * lanes, target)
        outputs = float(
            batch * code.out_blocks * lanes * code.windows.rows.outputs * code.windows.columns.outputs
        )
        count.add(outputs, alu=clamp_instructions(spec), stores=1)
        readers = (choice.threads, 1) if shared == PIXELS_SHARED else (1, choice.threads)
        passes = (code.tile_count, 1) if outer == PIXELS_OUTER else (1, channel_tiles)
        streamed = readers[0] * loads_of(weight_bytes(spec), batch * passes[0] / readers[0], cache)
        streamed += readers[1] * loads_of(input_bytes(spec), passes[1] / readers[1], cache)
        held = 4.0 * code.channels * (code.taps * code.blocks * lanes + code.windows.rows.taps * code.pixels)
        macs = float(spec.output.elements * code.channels * code.taps)
        balance = _share(code, shared, choice.threads).balance
        return count.work(spec, macs, streamed, held, balance=balance)

    def emit(
        self, spec: LayerSpec, target: Target, choice: Choice, weights: Sequence[FloatArray], entry: str
    ) -> CpuProgram:
        code = _code(spec, {**choice.splits, **choice.tiles}, entry)
        share = _share(code, choice.splits["shared"], choice.threads)
        whole = ("0", str(code.out_blocks), "0", str(code.tile_count))
        by_pixels = choice.splits["shared"] == PIXELS_SHARED
        spans = (*whole[:2], share.first, share.end) if by_pixels else (share.first, share.end, *whole[2:])
        sizes = [
            layout_named(layout).size_bytes(tensor) // 4
            for layout, tensor in (
                (choice.input_layouts[0], spec.inputs[0]),
                (choice.output_layout, spec.output),
            )
        ]
        batch = spec.output.shape[0]
        source = conv_text(code) + fill(
            _ENTRY,
            entry=entry,
            share=share.declaration,
            batch=batch,
            input=sizes[0] // batch,
            output=sizes[1] // batch,
            bias=code.weights_size,
            spans=", ".join(spans),
        )
        return CpuProgram(
            source=source,
            entry=entry,
            weights=pack_conv(weights, code),
            input_sizes=(sizes[0],),
            output_size=sizes[1],
            workspace_bytes=0,
            threads=choice.threads,
        )


def tile_widths(spec: LayerSpec, blocks: int, registers: int) -> tuple[int, ...]:
    """Widths of tiles worth trying with so many blocks of output channels.

    Sums, one vector of weights per block and a broadcast are in registers. A row is cut evenly, so that of two widths
    which need as many tiles the smaller is as good.
    """
    outputs = _windows(spec).columns.outputs
    widest = (registers - 1) // blocks - 1
    fewest = -(-outputs // max(1, widest))
    widths = {-(-outputs // count) for count in range(fewest, fewest + WIDTHS)}
    return tuple(sorted(widths)) if widest > 0 else ()


def _windows(spec: LayerSpec) -> Windows:
    windows = Windows.of(spec)
    return windows.flattened if windows.is_pointwise else windows


def _code(spec: LayerSpec, point: Point, entry: str) -> ConvCode:
    op = spec.op
    assert isinstance(op, Conv2d)
    windows, lanes = _windows(spec), point["lanes"]
    channels = spec.inputs[0].shape[1]
    plane = windows.rows.inputs, windows.columns.inputs
    return ConvCode(
        entry=entry,
        channels=channels,
        outputs=spec.output.shape[1],
        windows=windows,
        source=Image.row_major(channels, *plane) if point["row_major"] else Image.blocked(lanes, *plane),
        result=Image.blocked(lanes, windows.rows.outputs, windows.columns.outputs),
        pixels=point["pixels"],
        blocks=point["blocks"],
        outer=point["outer"],
        activation=op.activation,
    )


def _share(code: ConvCode, shared: int, threads: int) -> Share:
    if shared == PIXELS_SHARED:
        return Share(code.tile_count, threads)
    return Share(code.out_blocks, threads, code.blocks)


_ENTRY = """
    void $entry(const float *const *inputs, const float *weights, float *output, void *workspace, int part)
    {
        $share
        (void)workspace;
        for (int n = 0; n < $batch; ++n)
            ${entry}_span(inputs[0] + n * $input, 0, weights, weights + $bias, output + n * $output, 0, $spans);
    }
"""
