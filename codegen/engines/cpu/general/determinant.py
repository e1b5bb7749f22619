"""Determinants in C, by elimination with partial pivoting in double."""

from __future__ import annotations

import math

from codegen.engines.cpu.general.expressions import converted
from codegen.engines.cpu.general.kernel import GeneralKernel
from codegen.engines.cpu.source import fill
from codegen.graph import LayerSpec
from codegen.operators.determinant import Determinant
from codegen.target import Target

DOUBLE_BYTES = 8


class CpuDeterminant(GeneralKernel):
    """One matrix behind the other, eliminated in the workspace."""

    name = "cpu_determinant"

    def computes(self, spec: LayerSpec, target: Target) -> bool:
        return isinstance(spec.op, Determinant)

    def steps(self, spec: LayerSpec) -> float:
        return float(spec.inputs[0].elements * spec.inputs[0].shape[-1])

    def workspace_bytes(self, spec: LayerSpec) -> int:
        return DOUBLE_BYTES * spec.inputs[0].shape[-1] ** 2

    def body(self, spec: LayerSpec) -> str:
        *outer, size, _ = spec.inputs[0].shape
        return fill(
            _BODY,
            count=math.prod(outer),
            size=size,
            store=converted("product", "double", spec.output.element_type),
        )


_BODY = """
double *const a = workspace;
for (long n = 0; n < $count; ++n) {
    double product = 1;
    for (long k = 0; k < $size * $size; ++k)
        a[k] = (double)x0[n * $size * $size + k];
    for (long k = 0; k < $size; ++k) {
        long pivot = k;
        for (long i = k + 1; i < $size; ++i)
            if (fabs(a[i * $size + k]) > fabs(a[pivot * $size + k]))
                pivot = i;
        if (pivot != k) {
            for (long j = k; j < $size; ++j) {
                const double other = a[k * $size + j];
                a[k * $size + j] = a[pivot * $size + j];
                a[pivot * $size + j] = other;
            }
            product = -product;
        }
        product *= a[k * $size + k];
        if (product == 0)
            break;
        for (long i = k + 1; i < $size; ++i) {
            const double factor = a[i * $size + k] / a[k * $size + k];
            for (long j = k + 1; j < $size; ++j)
                a[i * $size + j] -= factor * a[k * $size + j];
        }
    }
    y0[n] = $store;
}
"""
