"""1x1 convolution as a matrix product that reads the activations where they lie."""

from __future__ import annotations

from collections.abc import Sequence

from codegen.cpu.gemm_tile import matrix_and_bias, pack_rows, packed_sizes, tile_source
from codegen.cpu.instructions import Count, clamp_instructions, input_bytes, loads_of, weight_bytes
from codegen.cpu.kernel import CpuKernel
from codegen.cpu.machine import cache_bytes, tile_columns, tile_rows
from codegen.cpu.source import fill, round_up
from codegen.graph import Conv2d, FloatArray, LayerSpec
from codegen.program import CpuProgram
from codegen.schedule import Axis, Choice, Work
from codegen.target import Target

PIXELS_OUTER, CHANNELS_OUTER = 0, 1


class CpuPointwiseGemm(CpuKernel):
    """`rows` output channels by `columns` pixels in registers, `k_block` input channels at a time.

    `outer` says which of the two is walked in the outer loop: pixels (0, the weights are passed over again
    for each tile) or output channels (1, the activations are).
    """

    name = "cpu_pointwise_gemm"

    def computes(self, spec: LayerSpec) -> bool:
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
        )

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
        count.add(outputs, alu=clamp_instructions(spec), stores=1)
        count.add_copy(batch * depth * (pixels % columns))
        passes = (column_blocks, 1) if tiles["outer"] == PIXELS_OUTER else (1, row_blocks)
        streamed = loads_of(weight_bytes(spec) / k_blocks, batch * passes[0], cache) * k_blocks
        streamed += loads_of(input_bytes(spec) / batch / k_blocks, passes[1], cache) * k_blocks * batch
        held = tiles["k_block"] * 4.0 * (rows + columns)
        return count.work(spec, float(outputs * depth), streamed, held)

    def emit(
        self, spec: LayerSpec, target: Target, choice: Choice, weights: Sequence[FloatArray], entry: str
    ) -> CpuProgram:
        op = spec.op
        assert isinstance(op, Conv2d)
        tiles = choice.tiles
        batch, out, pixels = _shape(spec)
        depth, rows, columns = spec.inputs[0].shape[1], tiles["rows"], tiles["columns"]
        tail = pixels % columns
        loops = [f"for (int p = 0; p < {pixels}; p += {columns})", f"for (int m = 0; m < {out}; m += {rows})"]
        if tiles["outer"] == CHANNELS_OUTER:
            loops.reverse()
        shape: dict[str, int | str] = {"entry": entry, "depth": depth, "pixels": pixels, "columns": columns}
        source = tile_source(entry, rows, columns, op.activation)
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
            pack_tail=f"{entry}_pack_tail(x, tail);" if tail else "(void)tail;",
            outer_loop=loops[0],
            inner_loop=loops[1],
        )
        matrix, bias = matrix_and_bias(weights)
        return CpuProgram(
            source=source,
            entry=entry,
            weights=pack_rows(matrix, bias, rows),
            input_sizes=(spec.inputs[0].elements,),
            output_size=spec.output.elements,
            workspace_bytes=round_up(depth * columns * 4, 64) if tail else 0,
        )


def _shape(spec: LayerSpec) -> tuple[int, int, int]:
    batch, out, height, width = spec.output.shape
    return batch, out, height * width


_PACK_TAIL = """
    static void ${entry}_pack_tail(const float *restrict x, float *restrict tail)
    {
        for (int k = 0; k < $depth; ++k)
            for (int j = 0; j < $columns; ++j)
                tail[k * $columns + j] = j < $tail ? x[k * $pixels + $pixels - $tail + j] : 0.0f;
    }
"""

_ENTRY = """
    void $entry(const float *const *inputs, const float *weights, float *output, void *workspace)
    {
        float *tail = workspace;
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
