"""Softmax over one axis, shifted by the largest element so that no exponential overflows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from codegen.engines.cpu.instructions import LOOP_INSTRUCTIONS, Count
from codegen.engines.cpu.kernel import CpuKernel
from codegen.engines.cpu.source import fill
from codegen.graph import LayerSpec
from codegen.operators.softmax import Softmax
from codegen.program import CpuProgram
from codegen.schedule import Axis, Choice, Work
from codegen.target import Target
from codegen.tensor import FloatArray

EXPONENTIAL_INSTRUCTIONS = 40.0  # one expf of a soft libm: range reduction and a polynomial in double


class CpuSoftmax(CpuKernel):
    """Three passes: largest element, exponentials and their sum, scaling."""

    name = "cpu_softmax"

    def computes(self, spec: LayerSpec, target: Target) -> bool:
        return isinstance(spec.op, Softmax)

    def axes(self, spec: LayerSpec, target: Target) -> tuple[Axis, ...]:
        return ()

    def work(self, spec: LayerSpec, target: Target, choice: Choice) -> Work:
        elements = float(spec.output.elements)
        count = Count()
        count.add(elements, alu=2 + LOOP_INSTRUCTIONS, loads=1)
        count.add(elements, alu=2 + LOOP_INSTRUCTIONS + EXPONENTIAL_INSTRUCTIONS, loads=4, stores=1)
        count.add(elements, alu=1 + LOOP_INSTRUCTIONS, loads=1, stores=1)
        return count.work(spec, 0.0, 0.0, 0.0)

    def emit(
        self, spec: LayerSpec, target: Target, choice: Choice, weights: Sequence[FloatArray], entry: str
    ) -> CpuProgram:
        assert isinstance(spec.op, Softmax)
        shape, axis = spec.output.shape, spec.op.axis
        inner = int(np.prod(shape[axis + 1 :], dtype=np.int64))
        source = fill(
            _SOURCE,
            entry=entry,
            outer=int(np.prod(shape[:axis], dtype=np.int64)),
            length=shape[axis],
            inner=inner,
        )
        elements = spec.output.elements
        return CpuProgram(source, entry, np.zeros(0, dtype=np.float32), (elements,), (elements,), 0)


_SOURCE = """
    #include <math.h>

    void $entry(const float *const *inputs, const float *weights, float *const *outputs, void *workspace, int part)
    {
        float *const output = outputs[0];
        (void)weights;
        (void)workspace;
        (void)part;
        for (int o = 0; o < $outer; ++o)
            for (int i = 0; i < $inner; ++i) {
                const float *x = inputs[0] + o * $length * $inner + i;
                float *y = output + o * $length * $inner + i;
                float largest = x[0];
                for (int k = 1; k < $length; ++k)
                    largest = x[k * $inner] > largest ? x[k * $inner] : largest;
                double sum = 0.0;
                for (int k = 0; k < $length; ++k) {
                    const float e = expf(x[k * $inner] - largest);
                    y[k * $inner] = e;
                    sum += e;
                }
                const float scale = (float)(1.0 / sum);
                for (int k = 0; k < $length; ++k)
                    y[k * $inner] *= scale;
            }
    }
"""
