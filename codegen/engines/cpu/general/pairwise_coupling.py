"""Probabilities of classes from those of pairs, in C."""

from __future__ import annotations

from codegen.engines.cpu.general.expressions import converted
from codegen.engines.cpu.general.kernel import GeneralKernel
from codegen.engines.cpu.source import fill
from codegen.graph import LayerSpec
from codegen.operators.pairwise_coupling import MOST_ROUNDS, NEAR, PairwiseCoupling
from codegen.target import Target

FLOAT_BYTES = 4


class CpuPairwiseCoupling(GeneralKernel):
    """One row behind the other; its matrix, slope and result in the workspace. In float, as the engines whose rounds
    it counts.
    """

    name = "cpu_pairwise_coupling"

    def computes(self, spec: LayerSpec, target: Target) -> bool:
        return isinstance(spec.op, PairwiseCoupling)

    def steps(self, spec: LayerSpec) -> float:
        return float(MOST_ROUNDS * spec.inputs[0].elements)

    def workspace_bytes(self, spec: LayerSpec) -> int:
        classes = spec.output.shape[1]
        return FLOAT_BYTES * classes * (classes + 2)

    def body(self, spec: LayerSpec) -> str:
        rows, classes = spec.output.shape
        return fill(
            _BODY,
            rows=rows,
            classes=classes,
            rounds=MOST_ROUNDS,
            near=f"{NEAR / classes!r}f",
            store=converted("p[i]", "float", spec.output.element_type),
        )


_BODY = """
float *const q = workspace, *const slope = q + $classes * $classes, *const p = slope + $classes;
for (long n = 0; n < $rows; ++n) {
    for (long i = 0; i < $classes; ++i) {
        float sum = 0;
        for (long j = 0; j < $classes; ++j) {
            const float one = (float)x0[(n * $classes + j) * $classes + i];
            const float other = (float)x0[(n * $classes + i) * $classes + j];
            if (j != i)
                sum += one * one;
            q[i * $classes + j] = -one * other;
        }
        q[i * $classes + i] = sum;
        p[i] = 1.0f / $classes;
    }
    for (long round = 0; round < $rounds; ++round) {
        float value = 0, error = 0;
        for (long i = 0; i < $classes; ++i) {
            slope[i] = 0;
            for (long j = 0; j < $classes; ++j)
                slope[i] += q[i * $classes + j] * p[j];
            value += p[i] * slope[i];
        }
        for (long i = 0; i < $classes; ++i)
            error = fmaxf(error, fabsf(slope[i] - value));
        if (error < $near)
            break;
        for (long i = 0; i < $classes; ++i) {
            const float change = (value - slope[i]) / q[i * $classes + i], whole = 1 + change;
            p[i] += change;
            value = (value + change * (change * q[i * $classes + i] + 2 * slope[i])) / whole / whole;
            for (long j = 0; j < $classes; ++j) {
                slope[j] = (slope[j] + change * q[i * $classes + j]) / whole;
                p[j] /= whole;
            }
        }
    }
    for (long i = 0; i < $classes; ++i)
        y0[n * $classes + i] = $store;
}
"""
