"""MinMaxPair in C, row-major; threads share the samples."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from min_max_operator import MinMaxPair

from codegen.engines.cpu.instructions import LOOP_INSTRUCTIONS, Count
from codegen.engines.cpu.kernel import CpuKernel
from codegen.engines.cpu.source import fill
from codegen.engines.cpu.threads import Share, threads_axis
from codegen.graph import LayerSpec
from codegen.program import CpuProgram
from codegen.schedule import Axis, Choice, Point, Work
from codegen.target import Target
from codegen.tensor import FloatArray


class CpuMinMax(CpuKernel):
    """One pass over each sample."""

    name = "cpu_min_max"

    def computes(self, spec: LayerSpec, target: Target) -> bool:
        return isinstance(spec.op, MinMaxPair)

    def axes(self, spec: LayerSpec, target: Target) -> tuple[Axis, ...]:
        return (threads_axis(target),)

    def pieces(self, spec: LayerSpec, point: Point) -> int:
        return _share(spec, point["threads"]).pieces

    def work(self, spec: LayerSpec, target: Target, choice: Choice) -> Work:
        count = Count()
        count.add(float(spec.inputs[0].elements), alu=2 + LOOP_INSTRUCTIONS, loads=1)
        return count.work(spec, 0.0, 0.0, 0.0, balance=_share(spec, choice.threads).balance)

    def emit(
        self, spec: LayerSpec, target: Target, choice: Choice, weights: Sequence[FloatArray], entry: str
    ) -> CpuProgram:
        share, elements = _share(spec, choice.threads), spec.inputs[0].elements
        source = fill(
            _SOURCE,
            entry=entry,
            share=share.declaration,
            first=share.first,
            end=share.end,
            length=elements // share.count,
        )
        sizes = tuple(tensor.elements for tensor in spec.outputs)
        nothing = np.zeros(0, dtype=np.float32)
        return CpuProgram(source, entry, nothing, (elements,), sizes, 0, choice.threads)


def _share(spec: LayerSpec, threads: int) -> Share:
    return Share(spec.inputs[0].shape[0], threads)


_SOURCE = """
    void $entry(const float *const *inputs, const float *weights, float *const *outputs, void *workspace, int part)
    {
        $share
        (void)weights;
        (void)workspace;
        for (int sample = $first; sample < $end; ++sample) {
            const float *x = inputs[0] + (long)sample * $length;
            float least = x[0], greatest = x[0];
            for (int i = 1; i < $length; ++i) {
                least = x[i] < least ? x[i] : least;
                greatest = x[i] > greatest ? x[i] : greatest;
            }
            outputs[0][sample] = least;
            outputs[1][sample] = greatest;
        }
    }
"""
