"""Convolution as it is defined: any groups, strides, pads and dilations; accumulators in registers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from codegen.engines.cpu.expression_text import scalar_prologue, scalar_text
from codegen.engines.cpu.gemm_tile import matrix_and_bias, pack_rows
from codegen.engines.cpu.instructions import Count, epilogue_instructions, input_bytes, loads_of, weight_bytes
from codegen.engines.cpu.kernel import CpuKernel, at_most, checked_workspace
from codegen.engines.cpu.machine import FLOAT_BYTES, cache_bytes, tile_columns, tile_rows, vector_lanes
from codegen.engines.cpu.partial_sums import Parts
from codegen.engines.cpu.source import fill, round_up
from codegen.engines.cpu.threads import Share, own_workspace, threads_axis
from codegen.graph import LayerSpec
from codegen.operators.conv2d import Conv2d
from codegen.program import CpuProgram
from codegen.schedule import Axis, Choice, Point, Work
from codegen.target import Target
from codegen.tensor import FloatArray


@dataclass(frozen=True)
class _Plane:
    """The padded copy of what one thread reads of one group's input; with a stride s, each row is kept as s
    interleaved phases.
    """

    copied: bool
    height: int
    phases: int
    phase_pitch: int  # elements of one phase of a row

    @property
    def row_pitch(self) -> int:
        return self.phases * self.phase_pitch

    def workspace_bytes(self, channels: int) -> int:
        return round_up(channels * self.height * self.row_pitch * FLOAT_BYTES, 64) if self.copied else 0


class CpuConvDirect(CpuKernel):
    """`rows` output channels of one group by `columns` neighbouring outputs in registers.

    The input is copied with its padding once per group, split into as many phases as the stride is wide: the
    inner loop runs over consecutive elements and never asks about borders. Threads share the output rows, each
    with a copy of the input rows that it needs.

    Axes:
        rows: output channels whose sums are in registers at once
        columns: neighbouring outputs whose sums are in registers at once
        threads: how many threads of the CPU share the layer

    Formulas:
        own: O // G
        depth: I * Y * X
        padded: (own + rows - 1) // rows * rows
        group: o // own * padded * (depth + 1)
        row: o % own
        weight: group + row // rows * rows * depth + ((i * Y + y) * X + x) * rows + row % rows
        bias: group + padded * depth + row
        elements: G * padded * (depth + 1)
    """

    name = "cpu_conv_direct"

    def computes(self, spec: LayerSpec, target: Target) -> bool:
        return isinstance(spec.op, Conv2d)

    def axes(self, spec: LayerSpec, target: Target) -> tuple[Axis, ...]:
        rows = at_most((1, *tile_rows(target)), _outputs_per_group(spec))
        return Axis("rows", rows), Axis("columns", tile_columns(target)), threads_axis(target)

    def pieces(self, spec: LayerSpec, point: Point) -> int:
        return spec.output.shape[2]

    def refusal(self, spec: LayerSpec, target: Target, point: Point) -> str | None:
        plane = _plane(spec, point["columns"], point["threads"])
        return checked_workspace(point["threads"] * plane.workspace_bytes(_inputs_per_group(spec)))

    def work(self, spec: LayerSpec, target: Target, choice: Choice) -> Work:
        op = _conv(spec)
        tiles, cache = choice.tiles, cache_bytes(target)
        rows, columns = tiles["rows"], tiles["columns"]
        batch, _, height, width = spec.output.shape
        taps = op.kernel[0] * op.kernel[1]
        per_group, plane = _inputs_per_group(spec), _plane(spec, columns, choice.threads)
        row_blocks = op.groups * -(-_outputs_per_group(spec) // rows)
        tile_count = batch * row_blocks * height * -(-width // columns)
        count = Count()
        if plane.copied:
            count.add_copy(choice.threads * batch * op.groups * per_group * plane.height * plane.row_pitch)
        count.add_tiles(tile_count * per_group * taps, rows, columns, target)
        count.add(tile_count * per_group * taps, loads=1)  # the table of tap offsets
        outputs = float(spec.output.elements)
        count.add(outputs, alu=epilogue_instructions(spec) + 1, loads=1, stores=2)
        group_bytes = FLOAT_BYTES * per_group * plane.height * plane.row_pitch
        streamed = weight_bytes(spec) * float(batch) * choice.threads + input_bytes(spec)
        streamed += loads_of(group_bytes, row_blocks / op.groups, cache) * op.groups * batch * choice.threads
        held = FLOAT_BYTES * per_group * (taps * rows + op.kernel[0] * plane.row_pitch)
        return count.work(
            spec,
            outputs * per_group * taps,
            streamed,
            held,
            balance=Share(height, choice.threads).balance,
            workspace_bytes=choice.threads * plane.workspace_bytes(per_group),
        )

    def emit(
        self, spec: LayerSpec, target: Target, choice: Choice, weights: Sequence[FloatArray], entry: str
    ) -> CpuProgram:
        op, tiles = _conv(spec), choice.tiles
        rows, columns = tiles["rows"], tiles["columns"]
        threads, plane = choice.threads, _plane(spec, columns, choice.threads)
        _, channels, in_height, in_width = spec.inputs[0].shape
        batch, out, height, width = spec.output.shape
        per_group, share = _inputs_per_group(spec), Share(height, choice.threads)
        own = own_workspace(threads, plane.workspace_bytes(per_group))
        shape: dict[str, int | str] = {
            "entry": entry,
            "batch": batch,
            "channels": channels,
            "per_group": per_group,
            "in_height": in_height,
            "in_width": in_width,
            "top": op.pads[0],
            "left": op.pads[1],
            "phases": plane.phases,
            "phase_pitch": plane.phase_pitch,
            "plane_height": plane.height,
            "row_pitch": plane.row_pitch,
            "stride_h": op.strides[0],
        }
        source = _tile(entry, rows, columns, per_group, _tap_offsets(op, plane), plane, vector_lanes(target))
        source += fill(_COPY, **shape) if plane.copied else ""
        source += fill(
            _ENTRY,
            **shape,
            groups=op.groups,
            out=out,
            group_outputs=_outputs_per_group(spec),
            group_weights=_packed_group_elements(spec, rows),
            bias=round_up(_outputs_per_group(spec), rows) * per_group * op.kernel[0] * op.kernel[1],
            width=width,
            depth=per_group * op.kernel[0] * op.kernel[1],
            rows=rows,
            columns=columns,
            height=height,
            share=share.declaration,
            first=share.first,
            end=share.end,
            row=f"(oy - {share.first})" if plane.copied else "oy",
            source=f"{entry}_copy(x, {share.first}, {own})" if plane.copied else "x",
            value=scalar_text(op.epilogue, ("v",)),
        )
        return CpuProgram(
            source=scalar_prologue(op.epilogue) + source,
            entry=entry,
            weights=_pack(spec, weights, rows),
            input_sizes=(spec.inputs[0].elements,),
            output_sizes=(spec.output.elements,),
            workspace_bytes=threads * plane.workspace_bytes(per_group),
            threads=threads,
        )


def _conv(spec: LayerSpec) -> Conv2d:
    assert isinstance(spec.op, Conv2d)
    return spec.op


def _inputs_per_group(spec: LayerSpec) -> int:
    return spec.inputs[0].shape[1] // _conv(spec).groups


def _outputs_per_group(spec: LayerSpec) -> int:
    return spec.output.shape[1] // _conv(spec).groups


def _plane(spec: LayerSpec, columns: int, threads: int) -> _Plane:
    """Copied for padding, for a stride, and where the last column block would read past a row's end."""
    op = _conv(spec)
    _, _, in_height, in_width = spec.inputs[0].shape
    _, _, height, width = spec.output.shape
    most_rows = -(-height // threads)
    reach_h = (op.kernel[0] - 1) * op.dilations[0] + 1
    reach_w = (op.kernel[1] - 1) * op.dilations[1] + 1
    copied = any(op.pads) or op.strides[1] != 1 or width % columns != 0
    if not copied:
        return _Plane(False, in_height, 1, in_width)
    stride = op.strides[1]
    phase_pitch = round_up(width, columns) + (reach_w - 1) // stride
    return _Plane(True, (most_rows - 1) * op.strides[0] + reach_h, stride, phase_pitch)


def _tap_offsets(op: Conv2d, plane: _Plane) -> list[int]:
    offsets = []
    for ky in range(op.kernel[0]):
        for kx in range(op.kernel[1]):
            shift = kx * op.dilations[1]
            phase, column = shift % plane.phases, shift // plane.phases
            offsets.append(ky * op.dilations[0] * plane.row_pitch + phase * plane.phase_pitch + column)
    return offsets


def _packed_group_elements(spec: LayerSpec, rows: int) -> int:
    op = _conv(spec)
    depth = _inputs_per_group(spec) * op.kernel[0] * op.kernel[1]
    return round_up(_outputs_per_group(spec), rows) * (depth + 1)


def _pack(spec: LayerSpec, weights: Sequence[FloatArray], rows: int) -> FloatArray:
    matrix, bias = matrix_and_bias(weights)
    groups = _conv(spec).groups
    parts = [
        pack_rows(part, part_bias, rows)
        for part, part_bias in zip(np.split(matrix, groups), np.split(bias, groups), strict=True)
    ]
    return np.concatenate(parts)


def _tile(
    entry: str, rows: int, columns: int, per_group: int, offsets: list[int], plane: _Plane, lanes: int
) -> str:
    names = range(rows)
    each = "\n            ".join
    return fill(
        """
        static void ${entry}_tile(const float *restrict w, const float *restrict x,
                                  const float *restrict bias, float *restrict tile)
        {
            static const int taps[$taps] = {$offsets};
            float $accumulators;
            for (int first = 0; first < $per_group; first += $span) {
                const int end = $per_group - first < $span ? $per_group : first + $span;
                for (int j = 0; j < $columns; ++j) {
                    $starts
                }
                for (int c = first; c < end; ++c, x += $plane_size)
                    for (int t = 0; t < $taps; ++t, w += $rows) {
                        const float *restrict from = x + taps[t];
                        const float $factors;
                        for (int j = 0; j < $columns; ++j) {
                            const float v = from[j];
                            $updates
                        }
                    }
                for (int j = 0; j < $columns; ++j) {
                    $results
                }
            }
        }
        """,
        entry=entry,
        rows=rows,
        columns=columns,
        per_group=per_group,
        span=Parts.of(per_group, len(offsets), lanes).span,
        plane_size=plane.height * plane.row_pitch,
        taps=len(offsets),
        offsets=", ".join(map(str, offsets)),
        accumulators=", ".join(f"c{i}[{columns}]" for i in names),
        starts=each(f"c{i}[j] = first ? 0.0f : bias[{i}];" for i in names),
        factors=", ".join(f"w{i} = w[{i}]" for i in names),
        updates=each(f"c{i}[j] += w{i} * v;" for i in names),
        results=each(
            f"tile[{i * columns} + j] = first ? tile[{i * columns} + j] + c{i}[j] : c{i}[j];" for i in names
        ),
    )


_COPY = """
    static const float *${entry}_copy(const float *restrict x, int first, float *restrict plane)
    {
        for (int c = 0; c < $per_group; ++c)
            for (int y = 0; y < $plane_height; ++y) {
                const int iy = first * $stride_h + y - $top;
                const float *row = x + (c * $in_height + iy) * $in_width;
                for (int phase = 0; phase < $phases; ++phase) {
                    float *to = plane + (c * $plane_height + y) * $row_pitch + phase * $phase_pitch;
                    for (int j = 0; j < $phase_pitch; ++j) {
                        const int ix = j * $phases + phase - $left;
                        to[j] = iy >= 0 && iy < $in_height && ix >= 0 && ix < $in_width ? row[ix] : 0.0f;
                    }
                }
            }
        return plane;
    }
"""

_ENTRY = """
    void $entry(const float *const *inputs, const float *weights, float *const *outputs, void *workspace, int part)
    {
        float *const output = outputs[0];
        $share
        (void)workspace;
        for (int n = 0; n < $batch; ++n)
            for (int g = 0; g < $groups; ++g) {
                const float *x = inputs[0] + (n * $channels + g * $per_group) * $in_height * $in_width;
                const float *planes = $source;
                const float *w = weights + g * $group_weights;
                for (int m = 0; m < $group_outputs; m += $rows)
                    for (int oy = $first; oy < $end; ++oy)
                        for (int ox = 0; ox < $width; ox += $columns) {
                            float tile[$rows * $columns];
                            ${entry}_tile(w + m * $depth, planes + $row * $stride_h * $row_pitch + ox,
                                          w + $bias + m, tile);
                            const int rows = $group_outputs - m < $rows ? $group_outputs - m : $rows;
                            const int columns = $width - ox < $columns ? $width - ox : $columns;
                            for (int i = 0; i < rows; ++i) {
                                const int channel = n * $out + g * $group_outputs + m + i;
                                float *y = output + (channel * $height + oy) * $width + ox;
                                for (int j = 0; j < columns; ++j) {
                                    const float v = tile[i * $columns + j];
                                    y[j] = $value;
                                }
                            }
                        }
            }
    }
"""
