"""A tensor cut into parts along one axis, row-major."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from codegen.engines.cpu.instructions import Count
from codegen.engines.cpu.kernel import CpuKernel
from codegen.engines.cpu.source import fill
from codegen.engines.cpu.threads import Share, threads_axis
from codegen.graph import LayerSpec
from codegen.operators.split import Split
from codegen.program import CpuProgram
from codegen.schedule import Axis, Choice, Point, Work
from codegen.target import Target
from codegen.tensor import FloatArray


class CpuSplit(CpuKernel):
    """One run of elements copied to each output in turn, for each index before the axis; threads share these.

    Axes:
        threads: how many threads of the CPU share the layer
    """

    name = "cpu_split"

    def computes(self, spec: LayerSpec, target: Target) -> bool:
        return isinstance(spec.op, Split)

    def axes(self, spec: LayerSpec, target: Target) -> tuple[Axis, ...]:
        return (threads_axis(target),)

    def pieces(self, spec: LayerSpec, point: Point) -> int:
        return _share(spec, point["threads"]).pieces

    def work(self, spec: LayerSpec, target: Target, choice: Choice) -> Work:
        count = Count()
        count.add_copy(float(spec.inputs[0].elements))
        return count.work(spec, 0.0, 0.0, 0.0, balance=_share(spec, choice.threads).balance)

    def emit(
        self, spec: LayerSpec, target: Target, choice: Choice, weights: Sequence[FloatArray], entry: str
    ) -> CpuProgram:
        assert isinstance(spec.op, Split)
        inner = int(np.prod(spec.inputs[0].shape[spec.op.axis + 1 :], dtype=np.int64))
        share = _share(spec, choice.threads)
        source = "#include <stddef.h>\n#include <string.h>\n" + fill(
            _SOURCE,
            entry=entry,
            share=share.declaration,
            count=len(spec.op.sizes),
            runs=", ".join(str(size * inner) for size in spec.op.sizes),
            row=spec.inputs[0].shape[spec.op.axis] * inner,
            first=share.first,
            end=share.end,
        )
        sizes = tuple(tensor.elements for tensor in spec.outputs)
        nothing = np.zeros(0, dtype=np.float32)
        return CpuProgram(source, entry, nothing, (spec.inputs[0].elements,), sizes, 0, choice.threads)


def _share(spec: LayerSpec, threads: int) -> Share:
    assert isinstance(spec.op, Split)
    return Share(int(np.prod(spec.inputs[0].shape[: spec.op.axis], dtype=np.int64)), threads)


_SOURCE = """
    void $entry(const float *const *inputs, const float *weights, float *const *outputs, void *workspace, int part)
    {
        static const size_t runs[$count] = {$runs};
        $share
        (void)weights;
        (void)workspace;
        for (int outer = $first; outer < $end; ++outer) {
            const float *x = inputs[0] + (size_t)outer * $row;
            for (int i = 0; i < $count; ++i) {
                memcpy(outputs[i] + (size_t)outer * runs[i], x, runs[i] * sizeof(float));
                x += runs[i];
            }
        }
    }
"""
