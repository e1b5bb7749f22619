"""1x1 convolution as a matrix product that reads the activations where they lie."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from codegen.engines.cpu.expression_text import scalar_prologue
from codegen.engines.cpu.gemm_tile import matrix_and_bias, pack_rows, packed_sizes, tile_source
from codegen.engines.cpu.instructions import Count, epilogue_instructions, input_bytes, loads_of, weight_bytes
from codegen.engines.cpu.kernel import CpuKernel
from codegen.engines.cpu.machine import FLOAT_BYTES, cache_bytes, tile_columns, tile_rows
from codegen.engines.cpu.partial_sums import SCALAR, Parts
from codegen.engines.cpu.source import fill, round_up
from codegen.engines.cpu.threads import Share, own_workspace, threads_axis
from codegen.graph import LayerSpec
from codegen.operators.conv2d import Conv2d
from codegen.program import CpuProgram
from codegen.schedule import Axis, AxisNames, Choice, Point, Work
from codegen.target import Target
from codegen.tensor import FloatArray

PIXELS_OUTER, CHANNELS_OUTER = "pixels", "channels"


class CpuPointwiseGemm(CpuKernel):
    """`rows` output channels by `columns` pixels in registers, `k_block` input channels at a time.

    Threads share the outer loop.

    Axes:
        rows: output channels whose sums are in registers at once
        columns: pixels whose sums are in registers at once
        k_block: input channels that are added before the next tile
        outer: what the outer loop walks: pixels (the weights are passed over again for each tile) or channels (the
            activations are)
        threads: how many threads of the CPU share the layer

    Formulas:
        depth: I
        padded: (O + rows - 1) // rows * rows
        weight: o // rows * rows * depth + i * rows + o % rows
        bias: padded * depth + o
        elements: padded * (depth + 1)
    """

    name = "cpu_pointwise_gemm"
    axis_names: ClassVar[AxisNames] = {"outer": (PIXELS_OUTER, CHANNELS_OUTER)}

    def computes(self, spec: LayerSpec, target: Target) -> bool:
        op = spec.op
        return (
            isinstance(op, Conv2d)
            and op.kernel == (1, 1)
            and op.strides == (1, 1)
            and op.pads == (0, 0, 0, 0)
            and op.groups == 1
        )

    def axes(self, spec: LayerSpec, target: Target) -> tuple[Axis, ...]:
        depth = spec.inputs[0].shape[1]
        blocks = sorted({depth, *(block for block in (64, 256) if block < depth)})
        return (
            Axis("rows", tile_rows(target)),
            Axis("columns", tile_columns(target)),
            Axis("k_block", tuple(blocks)),
            Axis("outer", (PIXELS_OUTER, CHANNELS_OUTER)),
            threads_axis(target),
        )

    def pieces(self, spec: LayerSpec, point: Point) -> int:
        return _share(spec, point, point["threads"]).pieces

    def work(self, spec: LayerSpec, target: Target, choice: Choice) -> Work:
        tiles, cache = choice.tiles, cache_bytes(target)
        batch, out, pixels = _shape(spec)
        depth, rows, columns = spec.inputs[0].shape[1], tiles["rows"], tiles["columns"]
        row_blocks, column_blocks = -(-out // rows), -(-pixels // columns)
        k_blocks = -(-depth // tiles["k_block"])
        count = Count()
        count.add_tiles(batch * row_blocks * column_blocks * depth, rows, columns, target)
        outputs = batch * out * pixels
        count.add(outputs * (k_blocks - 1), loads=1, stores=1)
        count.add(outputs, alu=epilogue_instructions(spec), stores=1)
        count.add_copy(_tails(choice) * batch * depth * (pixels % columns))
        passes = (column_blocks, 1) if tiles["outer"] == PIXELS_OUTER else (1, row_blocks)
        readers = (choice.threads, 1) if tiles["outer"] == PIXELS_OUTER else (1, choice.threads)
        streamed = loads_of(weight_bytes(spec) / k_blocks, batch * passes[0] / readers[0], cache) * k_blocks
        streamed *= readers[0]  # what the inner loop passes over is read by every thread
        again = loads_of(input_bytes(spec) / batch / k_blocks, passes[1] / readers[1], cache)
        streamed += again * k_blocks * batch * readers[1]
        held = tiles["k_block"] * FLOAT_BYTES * (rows + columns)
        return count.work(
            spec,
            float(outputs * depth),
            streamed,
            held,
            balance=_share(spec, tiles, choice.threads).balance,
            workspace_bytes=_tails(choice) * _tail_bytes(spec, columns),
        )

    def emit(
        self, spec: LayerSpec, target: Target, choice: Choice, weights: Sequence[FloatArray], entry: str
    ) -> CpuProgram:
        op = spec.op
        assert isinstance(op, Conv2d)
        tiles = choice.tiles
        batch, out, pixels = _shape(spec)
        depth, rows, columns = spec.inputs[0].shape[1], tiles["rows"], tiles["columns"]
        tail, share = pixels % columns, _share(spec, tiles, choice.threads)
        if tiles["outer"] == PIXELS_OUTER:
            loops = [_loop("p", share), _loop("m", Share(out, 1, rows))]
        else:
            loops = [_loop("m", share), _loop("p", Share(pixels, 1, columns))]
        tail_bytes = _tail_bytes(spec, columns)
        shape: dict[str, int | str] = {"entry": entry, "depth": depth, "pixels": pixels, "columns": columns}
        parts = Parts.of(tiles["k_block"], 1, SCALAR)
        source = tile_source(entry, rows, columns, parts, op.epilogue)
        source += fill(_PACK_TAIL, **shape, tail=tail) if tail else ""
        source += fill(
            _ENTRY,
            **shape,
            batch=batch,
            out=out,
            rows=rows,
            whole=pixels - tail,
            k_block=tiles["k_block"],
            bias=packed_sizes(out, depth, rows)[0],
            share=share.declaration,
            tail=own_workspace(_tails(choice), tail_bytes),
            pack_tail=f"{_reaches_tail(choice, pixels)}{entry}_pack_tail(x, tail);"
            if tail
            else "(void)tail;",
            outer_loop=loops[0],
            inner_loop=loops[1],
        )
        matrix, bias = matrix_and_bias(weights)
        return CpuProgram(
            source=scalar_prologue(op.epilogue) + source,
            entry=entry,
            weights=pack_rows(matrix, bias, rows),
            input_sizes=(spec.inputs[0].elements,),
            output_sizes=(spec.output.elements,),
            workspace_bytes=_tails(choice) * tail_bytes,
            threads=choice.threads,
        )


def _shape(spec: LayerSpec) -> tuple[int, int, int]:
    batch, out, height, width = spec.output.shape
    return batch, out, height * width


def _share(spec: LayerSpec, tiles: Point, threads: int) -> Share:
    """What the outer loop walks over."""
    _, out, pixels = _shape(spec)
    if tiles["outer"] == PIXELS_OUTER:
        return Share(pixels, threads, tiles["columns"])
    return Share(out, threads, tiles["rows"])


def _loop(index: str, share: Share) -> str:
    return f"for (int {index} = {share.first}; {index} < {share.end}; {index} += {share.unit})"


def _tail_bytes(spec: LayerSpec, columns: int) -> int:
    """The last pixels of every input channel, filled up to whole columns; 0 where there are none."""
    pixels = _shape(spec)[2]
    return round_up(spec.inputs[0].shape[1] * columns * FLOAT_BYTES, 64) if pixels % columns else 0


def _tails(choice: Choice) -> int:
    """How many threads read the tail: with the pixels shared out, the last alone."""
    return 1 if choice.tiles["outer"] == PIXELS_OUTER else choice.threads


def _reaches_tail(choice: Choice, pixels: int) -> str:
    return f"if (end == {pixels}) " if choice.threads > _tails(choice) else ""


_PACK_TAIL = """
    static void ${entry}_pack_tail(const float *restrict x, float *restrict tail)
    {
        for (int k = 0; k < $depth; ++k)
            for (int j = 0; j < $columns; ++j)
                tail[k * $columns + j] = j < $tail ? x[k * $pixels + $pixels - $tail + j] : 0.0f;
    }
"""

_ENTRY = """
    void $entry(const float *const *inputs, const float *weights, float *const *outputs, void *workspace, int part)
    {
        float *const output = outputs[0];
        $share
        float *tail = $tail;
        for (int n = 0; n < $batch; ++n) {
            const float *x = inputs[0] + n * $depth * $pixels;
            float *y = output + n * $out * $pixels;
            $pack_tail
            for (int k = 0; k < $depth; k += $k_block) {
                const int depth = $depth - k < $k_block ? $depth - k : $k_block;
                $outer_loop
                    $inner_loop {
                        const int whole = p < $whole;
                        ${entry}_block(depth, weights + m * $depth + k * $rows,
                                       whole ? x + k * $pixels + p : tail + k * $columns,
                                       whole ? $pixels : $columns,
                                       weights + $bias + m, k == 0, k + depth == $depth,
                                       y + m * $pixels + p, $pixels, $out - m, $pixels - p);
                    }
            }
        }
    }
"""
