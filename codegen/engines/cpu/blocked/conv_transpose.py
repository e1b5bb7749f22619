"""Transposed convolution of blocks of channels: for each phase of the strides an ordinary convolution."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from codegen.engine_registry import layout_named
from codegen.engines.cpu.blocked.conv_source import ConvCode, conv_text, pack_conv
from codegen.engines.cpu.blocked.geometry import Image
from codegen.engines.cpu.blocked.kernel import BlockedKernel, blocks_of
from codegen.engines.cpu.instructions import Count, epilogue_instructions, input_bytes, loads_of, weight_bytes
from codegen.engines.cpu.machine import FLOAT_BYTES, TileRegisters, cache_bytes
from codegen.engines.cpu.source import fill
from codegen.engines.cpu.threads import (
    PIXELS_SHARED,
    SHARED_NAMES,
    Share,
    nothing_shared,
    shared_axis,
    threads_axis,
)
from codegen.graph import LayerSpec
from codegen.operators.conv_transpose2d import ConvTranspose2d
from codegen.phases import AxisPhase, axis_phases
from codegen.program import CpuProgram
from codegen.schedule import Axis, Choice, Point, Work
from codegen.target import Target
from codegen.tensor import FloatArray
from codegen.windows import Windows

BLOCKS = (1, 2, 3)


class CpuBlockedConvTranspose(BlockedKernel):
    """Outputs of equal remainder by the strides meet the same taps: as many convolutions of stride 1 as there are
    remainders, each with its share of the taps, which write every stride-th pixel. None multiplies a zero.

    `blocks` of output channels by as many pixels as the registers hold are computed at once; threads share the
    blocks of output channels of every phase or, where pixels are shared, its tiles of pixels.

    Axes:
        pixels: outputs of a phase whose sums are in registers at once
        blocks: blocks of output channels whose sums are in registers at once
        shared: what the threads share out: pixels (or rows) of all channels, or all pixels of some channels
    """

    name = "cpu_blocked_conv_transpose"
    axis_names = SHARED_NAMES

    def computes(self, spec: LayerSpec, target: Target) -> bool:
        return isinstance(spec.op, ConvTranspose2d) and spec.op.groups == 1

    def axes(self, spec: LayerSpec, target: Target) -> tuple[Axis, ...]:
        most = blocks_of(spec.output.shape[1], self.lanes(target))
        blocks = tuple(b for b in BLOCKS if b <= most)
        return (
            self.lanes_axis(target),
            Axis("pixels", tuple(sorted({_width(spec, b, self.registers(target)) for b in blocks}))),
            Axis("blocks", blocks),
            shared_axis(target),
            threads_axis(target),
        )

    def pieces(self, spec: LayerSpec, point: Point) -> int:
        shares = _shares(_phases(spec, point, "kernel"), point["shared"], point["threads"])
        return max(share.pieces for share in shares)

    def refusal(self, spec: LayerSpec, target: Target, point: Point) -> str | None:
        if point["pixels"] != _width(spec, point["blocks"], self.registers(target)):
            return "tiles of that width leave registers unused, or want more than there are"
        return nothing_shared(point)

    def work(self, spec: LayerSpec, target: Target, choice: Choice) -> Work:
        phases = _phases(spec, {**choice.splits, **choice.tiles}, "kernel")
        batch, cache = spec.output.shape[0], cache_bytes(target)
        count = Count()
        macs = outputs = streamed = held = 0.0
        for phase in phases:
            code = phase.code
            tiles = batch * code.tile_count * -(-code.out_blocks // code.blocks)
            steps = float(tiles * code.channels * code.taps)
            ordered = self.registers(target).ordered
            count.add_tiles(steps, code.pixels, code.blocks * code.lanes, target, ordered)
            places = float(batch * code.windows.rows.outputs * code.windows.columns.outputs)
            outputs += places * code.out_blocks * code.lanes
            macs += places * spec.output.shape[1] * code.channels * code.taps
            streamed += loads_of(FLOAT_BYTES * code.weights_size, batch * code.tile_count, cache)
            streamed += input_bytes(spec)
            held = max(
                held, FLOAT_BYTES * code.channels * code.taps * (code.blocks * code.lanes + code.pixels)
            )
        count.add(outputs, alu=epilogue_instructions(spec), stores=1)
        shares = _shares(phases, choice.splits["shared"], choice.threads)
        busiest = sum(share.balance * share.pieces for share in shares) / sum(
            share.pieces for share in shares
        )
        return count.work(spec, macs, max(streamed, float(weight_bytes(spec))), held, balance=busiest)

    def emit(
        self, spec: LayerSpec, target: Target, choice: Choice, weights: Sequence[FloatArray], entry: str
    ) -> CpuProgram:
        ordered = self.registers(target).ordered
        phases = [
            replace(phase, code=replace(phase.code, ordered=ordered))
            for phase in _phases(spec, {**choice.splits, **choice.tiles}, entry)
        ]
        shares = _shares(phases, choice.splits["shared"], choice.threads)
        layout, batch = layout_named(choice.output_layout), spec.output.shape[0]
        sizes = [layout.elements(tensor) for tensor in (spec.inputs[0], spec.output)]
        calls, packed, start = [], [], 0
        for phase, share in zip(phases, shares, strict=True):
            code, bias = phase.code, start + phase.code.weights_size
            whole = ("0", str(code.out_blocks), "0", str(code.tile_count))
            by_pixels = choice.splits["shared"] == PIXELS_SHARED
            spans = (
                (*whole[:2], share.first, share.end) if by_pixels else (share.first, share.end, *whole[2:])
            )
            source = f"inputs[0] + n * {sizes[0] // batch}"
            result = f"output + n * {sizes[1] // batch} + {phase.place}"
            constants = f"weights + {start}, weights + {bias}"
            call = f"{code.entry}_span({source}, 0, {constants}, {result}, 0, {', '.join(spans)});"
            calls.append(f"{{ {share.declaration if choice.threads > 1 else ''} {call} }}")
            packed.append(_packed(weights, phase))
            start += packed[-1].size
        text = fill(
            _ENTRY,
            entry=entry,
            unused="(void)part;" if choice.threads == 1 else "",
            batch=batch,
            calls="\n            ".join(calls),
        )
        return CpuProgram(
            source="".join([*(conv_text(phase.code) for phase in phases), text]),
            entry=entry,
            weights=np.concatenate(packed),
            input_sizes=(sizes[0],),
            output_sizes=(sizes[1],),
            workspace_bytes=0,
            threads=choice.threads,
        )


@dataclass(frozen=True)
class _Phase:
    """One convolution: its code, where its first output lies, and its taps of the kernel in the order of inputs."""

    code: ConvCode
    place: int
    rows: AxisPhase
    columns: AxisPhase


def _phases(spec: LayerSpec, point: Point, entry: str) -> list[_Phase]:
    op = spec.op
    assert isinstance(op, ConvTranspose2d)
    lanes, (height, width) = point["lanes"], spec.output.shape[2:]
    image = Image.blocked(lanes, height, width)
    result = replace(image, pixel=image.pixel * op.strides[1], row=image.row * op.strides[0])
    rows, columns = axis_phases(spec, 0), axis_phases(spec, 1)
    return [
        _Phase(
            ConvCode(
                entry=f"{entry}_phase{down.first}_{across.first}",
                channels=spec.inputs[0].shape[1],
                outputs=spec.output.shape[1],
                windows=Windows(down.window, across.window),
                source=Image.blocked(lanes, *spec.inputs[0].shape[2:]),
                result=result,
                pixels=point["pixels"],
                blocks=point["blocks"],
                epilogue=op.epilogue,
            ),
            down.first * image.row + across.first * image.pixel,
            down,
            across,
        )
        for down in rows
        for across in columns
    ]


def _shares(phases: Sequence[_Phase], shared: str, threads: int) -> list[Share]:
    if shared == PIXELS_SHARED:
        return [Share(phase.code.tile_count, threads) for phase in phases]
    return [Share(phase.code.out_blocks, threads, phase.code.blocks) for phase in phases]


def _packed(weights: Sequence[FloatArray], phase: _Phase) -> FloatArray:
    """The phase's taps, then the bias; a kernel smaller than the strides leaves phases without taps."""
    if phase.code.taps == 0:
        bias = np.zeros(phase.code.out_blocks * phase.code.lanes, dtype=np.float32)
        bias[: phase.code.outputs] = weights[1]
        return bias
    taps = weights[0][:, :, list(phase.rows.taps)][:, :, :, list(phase.columns.taps)]
    return pack_conv([np.ascontiguousarray(taps), weights[1]], phase.code)


def _width(spec: LayerSpec, blocks: int, registers: TileRegisters) -> int:
    """Pixels that fit the registers beside weights and inputs, a row being cut evenly."""
    outputs = max(phase.window.outputs for phase in axis_phases(spec, 1))
    widest = max(1, registers.pixels(blocks))
    return -(-outputs // -(-outputs // widest))


_ENTRY = """
    void $entry(const float *const *inputs, const float *weights, float *const *outputs, void *workspace, int part)
    {
        float *const output = outputs[0];
        (void)workspace;
        $unused
        for (int n = 0; n < $batch; ++n) {
            $calls
        }
    }
"""
