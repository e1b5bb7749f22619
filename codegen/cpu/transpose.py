"""Axes in another order."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from codegen.cpu.instructions import ADDRESS_INSTRUCTIONS, LOOP_INSTRUCTIONS, Count
from codegen.cpu.kernel import CpuKernel
from codegen.cpu.source import fill
from codegen.graph import FloatArray, LayerSpec, Transpose
from codegen.program import CpuProgram
from codegen.schedule import Axis, Choice, Work
from codegen.target import Target

STORES_INNER, LOADS_INNER = 0, 1


class CpuTranspose(CpuKernel):
    """A loop per axis; `inner` is the fastest: the axis whose stores are neighbours, or whose loads are."""

    name = "cpu_transpose"

    def computes(self, spec: LayerSpec) -> bool:
        return isinstance(spec.op, Transpose)

    def axes(self, spec: LayerSpec, target: Target) -> tuple[Axis, ...]:
        return (Axis("inner", (STORES_INNER, LOADS_INNER)),)

    def work(self, spec: LayerSpec, target: Target, choice: Choice) -> Work:
        inner = spec.output.shape[_order(spec, choice)[-1]]
        count = Count()
        count.add(
            float(spec.output.elements), alu=LOOP_INSTRUCTIONS + ADDRESS_INSTRUCTIONS, loads=1, stores=1
        )
        count.add(spec.output.elements / inner, alu=LOOP_INSTRUCTIONS + 2 * ADDRESS_INSTRUCTIONS)
        return count.work(spec, 0.0, 0.0, 0.0)

    def emit(
        self, spec: LayerSpec, target: Target, choice: Choice, weights: Sequence[FloatArray], entry: str
    ) -> CpuProgram:
        shape, source_strides = spec.output.shape, _strides(spec.inputs[0].shape)
        strides = [source_strides[axis] for axis in _permutation(spec)]
        loops = [
            f"for (int i{axis} = 0; i{axis} < {shape[axis]}; ++i{axis})" for axis in _order(spec, choice)
        ]
        source = fill(
            _SOURCE,
            entry=entry,
            loops="\n".join(f"{' ' * 4 * (depth + 2)}{loop}" for depth, loop in enumerate(loops)).lstrip(),
            statement=f"{' ' * 4 * (len(loops) + 2)}y[{_index(_strides(shape))}] = x[{_index(strides)}];",
        )
        elements = spec.output.elements
        return CpuProgram(source, entry, np.zeros(0, dtype=np.float32), (elements,), elements, 0)


def _permutation(spec: LayerSpec) -> tuple[int, ...]:
    assert isinstance(spec.op, Transpose)
    return spec.op.permutation


def _order(spec: LayerSpec, choice: Choice) -> tuple[int, ...]:
    """The axes of the output from the outermost loop to the innermost."""
    axes = tuple(range(len(spec.output.shape)))
    if choice.tiles["inner"] == STORES_INNER:
        return axes
    return tuple(_permutation(spec).index(axis) for axis in axes)


def _strides(shape: tuple[int, ...]) -> list[int]:
    return [math.prod(shape[axis + 1 :]) for axis in range(len(shape))]


def _index(strides: Sequence[int]) -> str:
    return " + ".join(f"i{axis} * {stride}" for axis, stride in enumerate(strides))


_SOURCE = """
    void $entry(const float *const *inputs, const float *weights, float *output, void *workspace)
    {
        const float *restrict x = inputs[0];
        float *restrict y = output;
        (void)weights;
        (void)workspace;
        $loops
$statement
    }
"""
