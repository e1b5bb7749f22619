"""Fully connected layers: many outputs at once, so that one pass over the input serves a block of weights."""

from __future__ import annotations

from collections.abc import Sequence

from codegen.engines.cpu.expression_text import scalar_prologue, scalar_text
from codegen.engines.cpu.gemm_tile import matrix_and_bias, pack_rows, packed_sizes
from codegen.engines.cpu.instructions import Count, epilogue_instructions, weight_bytes
from codegen.engines.cpu.kernel import CpuKernel, Point
from codegen.engines.cpu.machine import FLOAT_BYTES, cache_bytes, is_scalar
from codegen.engines.cpu.source import fill
from codegen.engines.cpu.threads import Share, threads_axis
from codegen.graph import LayerSpec
from codegen.operators.fully_connected import FullyConnected
from codegen.program import CpuProgram
from codegen.schedule import Axis, Choice, Work
from codegen.target import Target
from codegen.tensor import FloatArray


class CpuFullyConnected(CpuKernel):
    """`rows` outputs in registers; weights lie as [block][in][rows], read from start to end once a batch; threads
    share the blocks.
    """

    name = "cpu_fully_connected"

    def computes(self, spec: LayerSpec, target: Target) -> bool:
        return isinstance(spec.op, FullyConnected)

    def axes(self, spec: LayerSpec, target: Target) -> tuple[Axis, ...]:
        rows = (1, 2, 4, 8, 16) if is_scalar(target) else (4, 8, 16, 32, 64)
        return Axis("rows", rows), threads_axis(target)

    def pieces(self, spec: LayerSpec, point: Point) -> int:
        return Share(spec.output.shape[1], point["threads"], point["rows"]).pieces

    def work(self, spec: LayerSpec, target: Target, choice: Choice) -> Work:
        rows = choice.tiles["rows"]
        batch, out = spec.output.shape
        depth = spec.inputs[0].shape[1]
        blocks = batch * -(-out // rows)
        count = Count()
        count.add_tiles(float(blocks * depth), rows, 1, target)
        count.add(float(batch * out), alu=epilogue_instructions(spec), loads=1, stores=1)
        held = FLOAT_BYTES * depth
        again = held * blocks if held > cache_bytes(target) else held * batch
        streamed = weight_bytes(spec) * float(batch) + again
        balance = Share(out, choice.threads, rows).balance
        return count.work(
            spec, float(batch * out * depth), streamed, held + FLOAT_BYTES * rows, balance=balance
        )

    def emit(
        self, spec: LayerSpec, target: Target, choice: Choice, weights: Sequence[FloatArray], entry: str
    ) -> CpuProgram:
        op, rows = spec.op, choice.tiles["rows"]
        assert isinstance(op, FullyConnected)
        batch, out = spec.output.shape
        depth = spec.inputs[0].shape[1]
        share = Share(out, choice.threads, rows)
        matrix, bias = matrix_and_bias(weights)
        source = fill(
            _SOURCE,
            entry=entry,
            batch=batch,
            out=out,
            depth=depth,
            rows=rows,
            bias=packed_sizes(out, depth, rows)[0],
            value=scalar_text(op.epilogue, ("v",)),
            share=share.declaration,
            first=share.first,
            end=share.end,
        )
        return CpuProgram(
            source=scalar_prologue(op.epilogue) + source,
            entry=entry,
            weights=pack_rows(matrix, bias, rows),
            input_sizes=(spec.inputs[0].elements,),
            output_sizes=(spec.output.elements,),
            workspace_bytes=0,
            threads=choice.threads,
        )


_SOURCE = """
    static void ${entry}_rows(const float *restrict x, const float *restrict w, const float *restrict bias,
                              int count, float *restrict y)
    {
        float sum[$rows];
        for (int i = 0; i < $rows; ++i)
            sum[i] = bias[i];
        for (int k = 0; k < $depth; ++k, w += $rows) {
            const float factor = x[k];
            for (int i = 0; i < $rows; ++i)
                sum[i] += factor * w[i];
        }
        for (int i = 0; i < count; ++i) {
            const float v = sum[i];
            y[i] = $value;
        }
    }

    void $entry(const float *const *inputs, const float *weights, float *const *outputs, void *workspace, int part)
    {
        float *const output = outputs[0];
        $share
        (void)workspace;
        for (int n = 0; n < $batch; ++n)
            for (int m = $first; m < $end; m += $rows)
                ${entry}_rows(inputs[0] + n * $depth, weights + m * $depth, weights + $bias + m,
                              $out - m < $rows ? $out - m : $rows, output + n * $out + m);
    }
"""
