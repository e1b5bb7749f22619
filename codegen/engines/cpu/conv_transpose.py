"""Transposed convolution, row-major: a row of outputs is summed phase by phase, then put in order."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from codegen.engines.cpu.expression_text import scalar_prologue, scalar_text
from codegen.engines.cpu.gemm_tile import matrix_and_bias
from codegen.engines.cpu.instructions import (
    ADDRESS_INSTRUCTIONS,
    LOOP_INSTRUCTIONS,
    Count,
    epilogue_instructions,
    weight_bytes,
)
from codegen.engines.cpu.kernel import CpuKernel, checked_workspace
from codegen.engines.cpu.machine import FLOAT_BYTES
from codegen.engines.cpu.source import fill
from codegen.engines.cpu.threads import Share, own_workspace, threads_axis
from codegen.graph import LayerSpec
from codegen.operators.conv_transpose2d import ConvTranspose2d
from codegen.phases import AxisPhase, axis_phases
from codegen.program import CpuProgram
from codegen.schedule import Axis, Choice, Point, Work
from codegen.target import Target
from codegen.tensor import FloatArray

TAP_INSTRUCTIONS = 8.0  # whether a row of taps meets a row of inputs


class CpuConvTranspose(CpuKernel):
    """Any groups. The outputs of a row that meet the same taps lie behind each other while they are summed, so that
    neighbours meet neighbouring inputs; `rows` output channels share these. Threads share the tiles of channels.

    Axes:
        rows: output channels that share the inputs
        threads: how many threads of the CPU share the layer
    """

    name = "cpu_conv_transpose"

    def computes(self, spec: LayerSpec, target: Target) -> bool:
        return isinstance(spec.op, ConvTranspose2d)

    def axes(self, spec: LayerSpec, target: Target) -> tuple[Axis, ...]:
        most = _channels(spec)[1]
        return Axis("rows", tuple(rows for rows in (1, 2, 4, 8) if rows <= most)), threads_axis(target)

    def pieces(self, spec: LayerSpec, point: Point) -> int:
        return _share(spec, point["rows"], point["threads"]).pieces

    def refusal(self, spec: LayerSpec, target: Target, point: Point) -> str | None:
        return checked_workspace(_row_bytes(spec, point["rows"]) * point["threads"])

    def work(self, spec: LayerSpec, target: Target, choice: Choice) -> Work:
        op, rows = _transposed(spec), choice.tiles["rows"]
        share = _share(spec, rows, choice.threads)
        depth, height = _channels(spec)[0], spec.output.shape[2]
        tiles = float(spec.output.shape[0] * share.count)
        meetings = sum(_meetings(phase) for phase in axis_phases(spec, 0))  # of rows of taps and of inputs
        sums = sum(_meetings(phase) for phase in axis_phases(spec, 1))
        loop = (LOOP_INSTRUCTIONS + ADDRESS_INSTRUCTIONS) / 4
        count = Count()
        count.add(tiles * meetings * depth * sums, alu=rows + loop, loads=rows + 1, stores=rows)
        count.add(tiles * meetings * depth * op.kernel[1], alu=LOOP_INSTRUCTIONS, loads=rows)
        count.add(tiles * height * op.kernel[0], alu=TAP_INSTRUCTIONS)
        outputs = tiles * height * rows * spec.output.shape[3]
        count.add(outputs, alu=epilogue_instructions(spec) + 2 * loop, loads=1, stores=2)
        macs = float(spec.output.shape[0] * spec.output.shape[1] * meetings * depth * sums)
        held = float(
            _row_bytes(spec, rows) + FLOAT_BYTES * op.kernel[0] * depth * (spec.inputs[0].shape[3] + rows)
        )
        workspace = float(_row_bytes(spec, rows) * choice.threads)
        return count.work(
            spec, macs, float(weight_bytes(spec)), held, balance=share.balance, workspace_bytes=workspace
        )

    def emit(
        self, spec: LayerSpec, target: Target, choice: Choice, weights: Sequence[FloatArray], entry: str
    ) -> CpuProgram:
        op, rows = _transposed(spec), choice.tiles["rows"]
        share, row_bytes = _share(spec, rows, choice.threads), _row_bytes(spec, rows)
        batch, channels, in_height, in_width = spec.inputs[0].shape
        _, out, height, width = spec.output.shape
        depth, per_group = _channels(spec)
        phases = axis_phases(spec, 1)
        packed, bias = _packed(spec, weights, rows)
        starts = np.cumsum([0, *(phase.window.outputs for phase in phases)]).tolist()
        source = fill(
            _SOURCE,
            entry=entry,
            share=share.declaration,
            first=share.first,
            end=share.end,
            sums=own_workspace(choice.threads, row_bytes),
            rows=rows,
            width=width,
            height=height,
            kernel=op.kernel[0],
            top=op.pads[0],
            dilation=op.dilations[0],
            stride=op.strides[0],
            in_height=in_height,
            in_width=in_width,
            depth=depth,
            taps=op.kernel[1] * rows,
            updates="\n                ".join(
                line
                for phase, start in zip(phases, starts, strict=False)
                for line in _updates(phase, start, rows, width)
            ),
            stores="\n            ".join(
                f"for (int j = 0; j < {phase.window.outputs}; ++j) {{ const float v = from[{start} + j]; "
                f"to[{phase.first} + j * {op.strides[1]}] = {scalar_text(op.epilogue, ('v',))}; }}"
                for phase, start in zip(phases, starts, strict=False)
            ),
            batch=batch,
            tiles=-(-per_group // rows),
            per_group=per_group,
            image=channels * in_height * in_width,
            result=out * height * width,
            tile_weights=op.kernel[0] * depth * op.kernel[1] * rows,
            bias=packed.size,
        )
        return CpuProgram(
            source=scalar_prologue(op.epilogue) + source,
            entry=entry,
            weights=np.concatenate([packed, bias]),
            input_sizes=(spec.inputs[0].elements,),
            output_sizes=(spec.output.elements,),
            workspace_bytes=row_bytes * choice.threads,
            threads=choice.threads,
        )


def _transposed(spec: LayerSpec) -> ConvTranspose2d:
    assert isinstance(spec.op, ConvTranspose2d)
    return spec.op


def _channels(spec: LayerSpec) -> tuple[int, int]:
    """Input and output channels of a group."""
    groups = _transposed(spec).groups
    return spec.inputs[0].shape[1] // groups, spec.output.shape[1] // groups


def _share(spec: LayerSpec, rows: int, threads: int) -> Share:
    """The tiles of channels of all groups."""
    return Share(_transposed(spec).groups * -(-_channels(spec)[1] // rows), threads)


def _row_bytes(spec: LayerSpec, rows: int) -> int:
    """The sums of one row of outputs."""
    return FLOAT_BYTES * rows * spec.output.shape[3]


def _meetings(phase: AxisPhase) -> int:
    """How many pairs of a tap and an input there are."""
    clipped = (phase.window.clipped(output) for output in range(phase.window.outputs))
    return sum(end - first for first, end in clipped)


def _updates(phase: AxisPhase, start: int, rows: int, width: int) -> list[str]:
    """A loop for every tap of a phase, over the outputs that meet an input there."""
    window, lines = phase.window, []
    for number, tap in enumerate(phase.taps):
        begin = number * window.dilation - window.pad
        first, end = max(0, -begin), min(window.outputs, window.inputs - begin)
        if first >= end:
            continue
        sums = " ".join(f"sums[{r * width + start} + j] += k[{tap * rows + r}] * v;" for r in range(rows))
        lines.append(f"for (int j = {first}; j < {end}; ++j) {{ const float v = row[j + {begin}]; {sums} }}")
    return lines


def _packed(spec: LayerSpec, weights: Sequence[FloatArray], rows: int) -> tuple[FloatArray, FloatArray]:
    """Weights as [group][tile][kh][in][kw][rows] and the bias as [group][tile][rows]; zeros fill the last tile."""
    op, (depth, per_group) = _transposed(spec), _channels(spec)
    matrix, bias = matrix_and_bias(weights)
    tiles = -(-per_group // rows)
    values = np.zeros((op.groups, tiles * rows, depth, *op.kernel), dtype=np.float32)
    values[:, :per_group] = matrix.reshape(op.groups, per_group, depth, *op.kernel)
    starts = np.zeros((op.groups, tiles * rows), dtype=np.float32)
    starts[:, :per_group] = bias.reshape(op.groups, per_group)
    tiled = values.reshape(op.groups, tiles, rows, depth, *op.kernel).transpose(0, 1, 4, 3, 5, 2)
    return np.ascontiguousarray(tiled).reshape(-1), starts.reshape(-1)


_SOURCE = """
    #include <stddef.h>

    static void ${entry}_row(const float *restrict x, const float *restrict w, const float *restrict bias, int oy,
                              int count, float *restrict sums, float *restrict y)
    {
        for (int r = 0; r < $rows; ++r)
            for (int j = 0; j < $width; ++j)
                sums[r * $width + j] = bias[r];
        for (int ky = 0; ky < $kernel; ++ky) {
            const int from = oy + $top - ky * $dilation, iy = from / $stride;
            if (from < 0 || from % $stride != 0 || iy >= $in_height)
                continue;
            for (int c = 0; c < $depth; ++c) {
                const float *restrict row = x + (c * $in_height + iy) * $in_width;
                const float *restrict k = w + (ky * $depth + c) * $taps;
                (void)row;
                (void)k;
                $updates
            }
        }
        for (int r = 0; r < count; ++r) {
            const float *restrict from = sums + r * $width;
            float *restrict to = y + r * $height * $width;
            $stores
        }
    }

    void $entry(const float *const *inputs, const float *weights, float *const *outputs, void *workspace, int part)
    {
        float *const output = outputs[0];
        $share
        float *const sums = $sums;
        for (int n = 0; n < $batch; ++n)
            for (int t = $first; t < $end; ++t) {
                const int group = t / $tiles, m = t % $tiles * $rows;
                const int count = $per_group - m < $rows ? $per_group - m : $rows;
                const float *const x = inputs[0] + n * $image + group * $depth * $in_height * $in_width;
                float *const y = output + n * $result + (group * $per_group + m) * $height * $width;
                for (int oy = 0; oy < $height; ++oy)
                    ${entry}_row(x, weights + (size_t)t * $tile_weights, weights + $bias + t * $rows, oy, count, sums,
                                 y + oy * $width);
            }
    }
"""
