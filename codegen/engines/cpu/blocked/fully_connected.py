"""Fully connected layers: vectors of outputs in registers, weights streamed once in order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from codegen.engine_registry import layout_named
from codegen.engines.cpu.blocked.kernel import (
    IN_BLOCKS,
    INPUT_NAMES,
    ROW_MAJOR,
    BlockedKernel,
    blocked_layout,
)
from codegen.engines.cpu.blocked.narrow import Stored, narrow_axis
from codegen.engines.cpu.blocked.vectors import constant_vector, vector_epilogue, vector_prologue
from codegen.engines.cpu.gemm_tile import matrix_and_bias, pack_rows, packed_sizes
from codegen.engines.cpu.instructions import Count, epilogue_instructions, weight_bytes
from codegen.engines.cpu.machine import FLOAT_BYTES, cache_bytes, is_scalar
from codegen.engines.cpu.partial_sums import Parts, summed
from codegen.engines.cpu.source import fill
from codegen.engines.cpu.threads import Share, threads_axis
from codegen.graph import LayerSpec
from codegen.operators.fully_connected import FullyConnected
from codegen.program import CpuProgram
from codegen.schedule import Axis, AxisNames, Choice, Point, Work
from codegen.stored_weights import WEIGHTS, weight_type
from codegen.target import WEIGHT_TYPES, Target
from codegen.tensor import FloatArray

BLOCKS = (1, 2, 4, 8, 16)
CHAINS = 8  # sums that grow at the same time: two a cycle, four cycles each


class CpuBlockedFullyConnected(BlockedKernel):
    """`blocks` vectors of outputs in registers; weights lie as [tile][in][blocks][lanes], read from start to end.

    With fewer sums than hide the latency of an addition, several inputs add to sums of their own; where a core has no
    vectors, each lane is a sum. The `input` is in blocks or, row-major, as ONNX has it; the output always is.
    Threads share the tiles.

    Axes:
        blocks: vectors of outputs whose sums are in registers at once
        input: how the first input lies: in blocks (channel<lanes>) or row_major (nchw)
        weights: type of the weights as they are stored, where it is not float32

    Formulas:
        rows: blocks * lanes
        depth: I
        padded: (O + rows - 1) // rows * rows
        weight: o // rows * rows * depth + i * rows + o % rows
        bias: padded * depth + o
        elements: padded * (depth + 1)
    """

    name = "cpu_blocked_fully_connected"
    axis_names: ClassVar[AxisNames] = {**INPUT_NAMES, WEIGHTS: WEIGHT_TYPES}

    def computes(self, spec: LayerSpec, target: Target) -> bool:
        return isinstance(spec.op, FullyConnected)

    def axes(self, spec: LayerSpec, target: Target) -> tuple[Axis, ...]:
        most = self.registers(target).count // 2
        return (
            self.lanes_axis(target),
            Axis("blocks", tuple(blocks for blocks in BLOCKS if blocks <= most)),
            Axis("input", (IN_BLOCKS, ROW_MAJOR)),
            threads_axis(target),
            *narrow_axis(target, self.lanes(target)),
        )

    def layouts(self, spec: LayerSpec, point: Point) -> tuple[tuple[str, ...], str]:
        return ("nchw" if point["input"] == ROW_MAJOR else blocked_layout(point["lanes"]),), "nchw"

    def pieces(self, spec: LayerSpec, point: Point) -> int:
        return _share(spec, point, point["threads"]).pieces

    def work(self, spec: LayerSpec, target: Target, choice: Choice) -> Work:
        rows = choice.tiles["blocks"] * choice.tiles["lanes"]
        batch, out = spec.output.shape
        depth = spec.inputs[0].shape[1]
        tiles = batch * -(-out // rows)
        count = Count()
        count.add_tiles(float(tiles * depth), rows, 1, target)
        count.add(float(batch * out), alu=epilogue_instructions(spec), loads=1, stores=1)
        stored = Stored(weight_type(choice))
        count.add(float(tiles * depth * rows * stored.is_narrow), alu=1)
        constants = weight_bytes(spec) - stored.saved_bytes(spec.weights[0].elements)
        held = FLOAT_BYTES * depth
        again = held * tiles if held > cache_bytes(target) else held * batch
        tile_bytes = FLOAT_BYTES * rows * depth
        streamed = constants * (float(batch) if tile_bytes > cache_bytes(target) else 1.0) + again
        balance = _share(spec, choice.tiles, choice.threads).balance
        return count.work(
            spec,
            float(batch * out * depth),
            streamed,
            held + FLOAT_BYTES * rows,
            balance=balance,
            constant_bytes=constants,
        )

    def emit(
        self, spec: LayerSpec, target: Target, choice: Choice, weights: Sequence[FloatArray], entry: str
    ) -> CpuProgram:
        op, lanes, blocks = spec.op, choice.tiles["lanes"], choice.tiles["blocks"]
        assert isinstance(op, FullyConnected)
        batch, out = spec.output.shape
        depth, rows = spec.inputs[0].shape[1], blocks * lanes
        layout, stored = layout_named(choice.input_layouts[0]), Stored(weight_type(choice))
        share = _share(spec, choice.tiles, choice.threads)
        sums_each = lanes if is_scalar(target) else 1
        chains = max(1, CHAINS // (blocks * sums_each))
        sums = [f"a{chain}_{b}" for chain in range(chains) for b in range(blocks)]
        starts = [constant_vector(lanes, f"bias + {b * lanes}") for b in range(blocks)]
        values = [f"{name} = {starts[i] if i < blocks else '{0}'}" for i, name in enumerate(sums)]
        joined = [" + ".join(f"a{chain}_{b}" for chain in range(chains)) for b in range(blocks)]
        results = [vector_epilogue(lanes, total, op.epilogue) for total in joined]

        size, _ = packed_sizes(out, depth, rows)

        def whole(count: str) -> str:
            loop = f"for (int i = 0; i < {count}; ++i, k += {chains}, w += {chains * rows})"
            return f"{loop} {{\n    {_updates(lanes, blocks, chains, stored)}\n}}"

        text = fill(
            _SOURCE,
            entry=entry,
            lanes=lanes,
            blocks=blocks,
            sums=", ".join(values),
            whole=summed(Parts.of(depth // chains, 1, lanes), f"vec{lanes}", sums, whole),
            depth=depth,
            rows=rows,
            rest=_updates(lanes, blocks, 1, stored),
            results=", ".join(results),
            batch=batch,
            out=out,
            image=layout.elements(spec.inputs[0]) // batch,
            type=stored.element,
            weights=stored.weights,
            bias=stored.bias_place(size),
            share=share.declaration,
            first=share.first,
            end=share.end,
        )
        matrix, bias = matrix_and_bias(weights)
        prologue = vector_prologue(lanes, op.epilogue) + stored.prologue(lanes)
        return CpuProgram(
            source="#include <string.h>\n" + prologue + text,
            entry=entry,
            weights=stored.packed(pack_rows(matrix, bias, rows), size),
            input_sizes=(layout.elements(spec.inputs[0]),),
            output_sizes=(spec.output.elements,),
            workspace_bytes=0,
            threads=choice.threads,
        )


def _updates(lanes: int, blocks: int, chains: int, stored: Stored) -> str:
    lines = []
    for chain in range(chains):
        parts = [f"const float v = x[k + {chain}];"]
        for b in range(blocks):
            weight = stored.vector(lanes, f"w + {(chain * blocks + b) * lanes}")
            parts.append(f"a{chain}_{b} += {weight} * v;")
        lines.append(f"{{ {' '.join(parts)} }}")
    return "\n        ".join(lines)


def _share(spec: LayerSpec, point: Point, threads: int) -> Share:
    return Share(spec.output.shape[1], threads, point["blocks"] * point["lanes"])


_SOURCE = """
    static void ${entry}_tile(const float *restrict x, const $type *restrict w, const float *restrict bias, int count,
                              float *restrict y)
    {
        vec$lanes $sums;
        int k = 0;
        $whole
        for (; k < $depth; ++k, w += $rows) {
            $rest
        }
        const vec$lanes results[$blocks] = {$results};
        if (count == $rows)
            memcpy(y, results, sizeof results);
        else
            memcpy(y, results, (size_t)count * sizeof *y);
    }

    void $entry(const float *const *inputs, const float *weights, float *const *outputs, void *workspace, int part)
    {
        float *const output = outputs[0];
        $share
        (void)workspace;
        for (int m = $first; m < $end; m += $rows)
            for (int n = 0; n < $batch; ++n)
                ${entry}_tile(inputs[0] + n * $image, $weights + (size_t)m * $depth, weights + $bias + m,
                              $out - m < $rows ? $out - m : $rows, output + n * $out + m);
    }
"""
