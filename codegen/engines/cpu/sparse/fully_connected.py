"""Fully connected layers that skip the zeros of their weights."""

from __future__ import annotations

from collections.abc import Sequence

from codegen.engines.cpu.blocked.vectors import constant_vector, vector_epilogue, vector_prologue
from codegen.engines.cpu.gemm_tile import matrix_and_bias
from codegen.engines.cpu.instructions import (
    ADDRESS_INSTRUCTIONS,
    LOOP_INSTRUCTIONS,
    Count,
    epilogue_instructions,
    input_bytes,
    loads_of,
)
from codegen.engines.cpu.kernel import CpuKernel
from codegen.engines.cpu.machine import FLOAT_BYTES, cache_bytes
from codegen.engines.cpu.source import fill
from codegen.engines.cpu.sparse.pattern import (
    HEAD_WORDS,
    ROW_INSTRUCTIONS,
    ROWS,
    Walk,
    entries_of,
    pack_walk,
)
from codegen.engines.cpu.threads import Share, threads_axis
from codegen.graph import LayerSpec
from codegen.operators.fully_connected import FullyConnected
from codegen.program import CpuProgram
from codegen.schedule import Axis, Choice, Point, Work
from codegen.target import Target
from codegen.tensor import FloatArray

CHAINS = 4  # sums that grow at the same time, to hide the latency of an addition


class CpuSparseFullyConnected(CpuKernel):
    """`rows` neighbouring outputs at once, only weights that are not zero read: each with the place of its input.

    Threads share the rows, dealt out by how many weights they have.

    Axes:
        rows: neighbouring outputs that share an entry, of which some weights may be zero
        threads: how many threads of the CPU share the layer
    """

    name = "cpu_sparse_fully_connected"

    def computes(self, spec: LayerSpec, target: Target) -> bool:
        return isinstance(spec.op, FullyConnected) and spec.sparsity is not None

    def axes(self, spec: LayerSpec, target: Target) -> tuple[Axis, ...]:
        return Axis("rows", ROWS), threads_axis(target)

    def pieces(self, spec: LayerSpec, point: Point) -> int:
        return _walk(spec, point).row_count

    def work(self, spec: LayerSpec, target: Target, choice: Choice) -> Work:
        assert spec.sparsity is not None
        walk, batch = _walk(spec, {**choice.splits, **choice.tiles}), spec.output.shape[0]
        entries = entries_of(spec.sparsity, walk.rows)
        count = Count()
        each = (LOOP_INSTRUCTIONS + ADDRESS_INSTRUCTIONS) / CHAINS
        count.add(float(batch * entries), alu=walk.rows + each, loads=walk.rows + 2)
        count.add(float(batch * walk.row_count), alu=ROW_INSTRUCTIONS, loads=2)
        outputs = float(batch * walk.row_count * walk.rows)
        count.add(outputs, alu=epilogue_instructions(spec), loads=1, stores=1)
        held = FLOAT_BYTES * walk.depth * batch
        return count.work(
            spec,
            float(batch * entries * walk.rows),
            walk.bytes_for(entries) + loads_of(input_bytes(spec), walk.row_count, cache_bytes(target)),
            held,
            constant_bytes=walk.bytes_for(entries),
            balance=Share(walk.row_count, choice.threads).balance,
        )

    def emit(
        self, spec: LayerSpec, target: Target, choice: Choice, weights: Sequence[FloatArray], entry: str
    ) -> CpuProgram:
        op, walk = spec.op, _walk(spec, {**choice.splits, **choice.tiles})
        assert isinstance(op, FullyConnected)
        lanes, sums = walk.rows, " + ".join(f"a{chain}" for chain in range(CHAINS))
        text = fill(
            _SOURCE,
            entry=entry,
            lanes=lanes,
            batch=spec.output.shape[0],
            depth=walk.depth,
            outputs=walk.outputs,
            starts=walk.row_count * walk.rows,
            list="part" if walk.lists > 1 else "0",
            chains=CHAINS,
            head=HEAD_WORDS,
            bias=constant_vector(lanes, "weights + o"),
            others=", ".join(f"a{chain} = {{0}}" for chain in range(1, CHAINS)),
            updates=" ".join(_update(chain, lanes) for chain in range(CHAINS)),
            update=_update(0, lanes),
            result=vector_epilogue(lanes, f"({sums})", op.epilogue),
        )
        matrix, bias = matrix_and_bias(weights)
        return CpuProgram(
            source="#include <string.h>\n" + vector_prologue(lanes, op.epilogue) + text,
            entry=entry,
            weights=pack_walk(matrix, bias, walk),
            input_sizes=(spec.inputs[0].elements,),
            output_sizes=(spec.output.elements,),
            workspace_bytes=0,
            threads=choice.threads,
        )


def _walk(spec: LayerSpec, point: Point) -> Walk:
    outputs, depth = spec.weights[0].shape
    return Walk(outputs, depth, point["rows"], depth, point["threads"], FLOAT_BYTES)


def _update(chain: int, lanes: int) -> str:
    value = f"*(const float *)(const void *)((const char *)x + q[{chain}].bytes)"
    return f"a{chain} += {constant_vector(lanes, f'q[{chain}].weights')} * {value};"


_SOURCE = """
    typedef struct {
        int bytes;
        float weights[$lanes];
    } __attribute__((may_alias)) ${entry}_entry;

    void $entry(const float *const *inputs, const float *weights, float *const *outputs, void *workspace, int part)
    {
        const int *s = (const void *)weights;
        (void)workspace, (void)part;
        s += s[$starts + $list];
        const int *end_of_rows = s + $head + 2 * s[0];
        const ${entry}_entry *e = (const void *)end_of_rows;
        for (s += $head; s != end_of_rows; s += 2) {
            const int o = s[0] * $lanes, count = $outputs - o < $lanes ? $outputs - o : $lanes;
            const ${entry}_entry *end = e + s[1];
            for (int n = 0; n < $batch; ++n) {
                const float *x = inputs[0] + n * $depth;
                const ${entry}_entry *q = e;
                vec$lanes a0 = $bias, $others;
                for (; end - q >= $chains; q += $chains) {
                    $updates
                }
                for (; q != end; ++q) {
                    $update
                }
                const vec$lanes result = $result;
                memcpy(outputs[0] + n * $outputs + o, &result, (size_t)count * sizeof(float));
            }
            e = end;
        }
    }
"""
