"""Convolution as a matrix product over an unfolded copy of the input, a few output rows at a time."""

from __future__ import annotations

from collections.abc import Sequence

from codegen.engines.cpu.expression_text import scalar_prologue
from codegen.engines.cpu.gemm_tile import matrix_and_bias, pack_rows, packed_sizes, tile_source
from codegen.engines.cpu.instructions import Count, epilogue_instructions, input_bytes, loads_of, weight_bytes
from codegen.engines.cpu.kernel import CpuKernel, at_most, checked_workspace
from codegen.engines.cpu.machine import FLOAT_BYTES, cache_bytes, tile_columns, tile_rows
from codegen.engines.cpu.partial_sums import SCALAR, Parts
from codegen.engines.cpu.source import fill, round_up
from codegen.engines.cpu.threads import Share, own_workspace, threads_axis
from codegen.graph import LayerSpec
from codegen.operators.conv2d import Conv2d
from codegen.program import CpuProgram
from codegen.schedule import Axis, Choice, Point, Work
from codegen.target import Target
from codegen.tensor import FloatArray


class CpuConvIm2col(CpuKernel):
    """`block` output rows are unfolded to [taps][pixels]; `rows` channels by `columns` pixels are in
    registers.

    One group only; the workspace holds the unfolded block. Threads share the blocks, each with a workspace of its own.

    Axes:
        rows: output channels whose sums are in registers at once
        columns: pixels whose sums are in registers at once
        block: rows of outputs that are unfolded at a time
        threads: how many threads of the CPU share the layer

    Formulas:
        depth: I * Y * X
        padded: (O + rows - 1) // rows * rows
        weight: o // rows * rows * depth + ((i * Y + y) * X + x) * rows + o % rows
        bias: padded * depth + o
        elements: padded * (depth + 1)
    """

    name = "cpu_conv_im2col"

    def computes(self, spec: LayerSpec, target: Target) -> bool:
        return isinstance(spec.op, Conv2d) and spec.op.groups == 1

    def axes(self, spec: LayerSpec, target: Target) -> tuple[Axis, ...]:
        return (
            Axis("rows", tile_rows(target)),
            Axis("columns", tile_columns(target)),
            Axis("block", at_most((1, 4, 16), spec.output.shape[2])),
            threads_axis(target),
        )

    def pieces(self, spec: LayerSpec, point: Point) -> int:
        return _share(spec, point["block"], point["threads"]).pieces

    def refusal(self, spec: LayerSpec, target: Target, point: Point) -> str | None:
        return checked_workspace(point["threads"] * _workspace_bytes(spec, point["block"], point["columns"]))

    def work(self, spec: LayerSpec, target: Target, choice: Choice) -> Work:
        tiles, cache = choice.tiles, cache_bytes(target)
        batch, out, height, width = spec.output.shape
        rows, columns, block = tiles["rows"], tiles["columns"], tiles["block"]
        depth, blocks = _depth(spec), batch * -(-height // block)
        count = Count()
        count.add_copy(batch * depth * height * width)
        column_blocks = -(-block * width // columns)
        count.add_tiles(blocks * -(-out // rows) * column_blocks * depth, rows, columns, target)
        outputs = float(spec.output.elements)
        count.add(outputs, alu=epilogue_instructions(spec), stores=1)
        unfolded = FLOAT_BYTES * batch * depth * height * width
        streamed = choice.threads * loads_of(weight_bytes(spec), blocks / choice.threads, cache)
        streamed += input_bytes(spec)
        streamed += loads_of(unfolded / blocks, -(-out // rows), cache) * blocks
        return count.work(
            spec,
            outputs * depth,
            streamed,
            unfolded / blocks + FLOAT_BYTES * rows * depth,
            balance=_share(spec, block, choice.threads).balance,
            workspace_bytes=choice.threads * _workspace_bytes(spec, block, columns),
        )

    def emit(
        self, spec: LayerSpec, target: Target, choice: Choice, weights: Sequence[FloatArray], entry: str
    ) -> CpuProgram:
        op = spec.op
        assert isinstance(op, Conv2d)
        tiles = choice.tiles
        _, channels, in_height, in_width = spec.inputs[0].shape
        batch, out, height, width = spec.output.shape
        rows, columns, block = tiles["rows"], tiles["columns"], tiles["block"]
        depth, share = _depth(spec), _share(spec, block, choice.threads)
        workspace_bytes = _workspace_bytes(spec, block, columns)
        parts = Parts.of(depth, 1, SCALAR)
        source = tile_source(entry, rows, columns, parts, op.epilogue) + fill(
            _UNFOLD_AND_ENTRY,
            entry=entry,
            batch=batch,
            channels=channels,
            in_height=in_height,
            in_width=in_width,
            out=out,
            height=height,
            width=width,
            kernel_h=op.kernel[0],
            kernel_w=op.kernel[1],
            stride_h=op.strides[0],
            stride_w=op.strides[1],
            dilation_h=op.dilations[0],
            dilation_w=op.dilations[1],
            top=op.pads[0],
            left=op.pads[1],
            rows=rows,
            columns=columns,
            block=block,
            depth=depth,
            pitch=_pitch(spec, block, columns),
            bias=packed_sizes(out, depth, rows)[0],
            share=share.declaration,
            first=share.first,
            end=share.end,
            unfolded=own_workspace(choice.threads, workspace_bytes),
        )
        matrix, bias = matrix_and_bias(weights)
        return CpuProgram(
            source=scalar_prologue(op.epilogue) + source,
            entry=entry,
            weights=pack_rows(matrix, bias, rows),
            input_sizes=(spec.inputs[0].elements,),
            output_sizes=(spec.output.elements,),
            workspace_bytes=choice.threads * workspace_bytes,
            threads=choice.threads,
        )


def _depth(spec: LayerSpec) -> int:
    assert isinstance(spec.op, Conv2d)
    return spec.inputs[0].shape[1] * spec.op.kernel[0] * spec.op.kernel[1]


def _share(spec: LayerSpec, block: int, threads: int) -> Share:
    return Share(spec.output.shape[2], threads, block)


def _pitch(spec: LayerSpec, block: int, columns: int) -> int:
    return round_up(block * spec.output.shape[3], columns)


def _workspace_bytes(spec: LayerSpec, block: int, columns: int) -> int:
    return round_up(_depth(spec) * _pitch(spec, block, columns) * FLOAT_BYTES, 64)


_UNFOLD_AND_ENTRY = """
    static void ${entry}_unfold(const float *restrict x, int oy, int count, float *restrict unfolded)
    {
        for (int c = 0; c < $channels; ++c)
            for (int ky = 0; ky < $kernel_h; ++ky)
                for (int kx = 0; kx < $kernel_w; ++kx, unfolded += $pitch) {
                    const int shift = kx * $dilation_w - $left;
                    const int below = shift < 0 ? (-shift + $stride_w - 1) / $stride_w : 0;
                    const int room = $in_width - 1 - shift;
                    const int above = room < 0 ? 0 : room / $stride_w + 1;
                    const int first = below < $width ? below : $width;
                    const int limit = above < $width ? above : $width;
                    const int end = limit > first ? limit : first;
                    for (int r = 0; r < count; ++r) {
                        const int iy = (oy + r) * $stride_h + ky * $dilation_h - $top;
                        float *row = unfolded + r * $width;
                        if (iy < 0 || iy >= $in_height) {
                            for (int j = 0; j < $width; ++j)
                                row[j] = 0.0f;
                            continue;
                        }
                        const float *from = x + (c * $in_height + iy) * $in_width;
                        for (int j = 0; j < first; ++j)
                            row[j] = 0.0f;
                        for (int j = first; j < end; ++j)
                            row[j] = from[j * $stride_w + shift];
                        for (int j = end; j < $width; ++j)
                            row[j] = 0.0f;
                    }
                    for (int j = count * $width; j < $pitch; ++j)
                        unfolded[j] = 0.0f;
                }
    }

    void $entry(const float *const *inputs, const float *weights, float *const *outputs, void *workspace, int part)
    {
        float *const output = outputs[0];
        $share
        float *unfolded = $unfolded;
        for (int n = 0; n < $batch; ++n) {
            const float *x = inputs[0] + n * $channels * $in_height * $in_width;
            float *y = output + n * $out * $height * $width;
            for (int oy = $first; oy < $end; oy += $block) {
                const int count = $height - oy < $block ? $height - oy : $block;
                ${entry}_unfold(x, oy, count, unfolded);
                for (int m = 0; m < $out; m += $rows)
                    for (int p = 0; p < count * $width; p += $columns)
                        ${entry}_block($depth, weights + m * $depth, unfolded + p, $pitch,
                                       weights + $bias + m, 1, 1,
                                       y + (m * $height + oy) * $width + p, $height * $width,
                                       $out - m, count * $width - p);
            }
        }
    }
"""
