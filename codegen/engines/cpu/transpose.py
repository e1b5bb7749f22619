"""Axes in another order."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from codegen.engines.cpu.instructions import ADDRESS_INSTRUCTIONS, LOOP_INSTRUCTIONS, Count
from codegen.engines.cpu.kernel import CpuKernel
from codegen.engines.cpu.source import fill
from codegen.engines.cpu.threads import Share, threads_axis
from codegen.graph import LayerSpec
from codegen.operators.transpose import Transpose
from codegen.program import CpuProgram
from codegen.schedule import Axis, AxisNames, Choice, Point, Work
from codegen.target import Target
from codegen.tensor import FloatArray

STORES_INNER, LOADS_INNER = "stores", "loads"


class CpuTranspose(CpuKernel):
    """A loop per axis; `inner` is the fastest: the axis whose stores are neighbours, or whose loads are.

    Threads share the outermost loop that has more than one turn.

    Axes:
        inner: the axis of the fastest loop: the one whose stores are neighbours, or whose loads are
        threads: how many threads of the CPU share the layer
    """

    name = "cpu_transpose"
    axis_names: ClassVar[AxisNames] = {"inner": (STORES_INNER, LOADS_INNER)}

    def computes(self, spec: LayerSpec, target: Target) -> bool:
        return isinstance(spec.op, Transpose)

    def axes(self, spec: LayerSpec, target: Target) -> tuple[Axis, ...]:
        return Axis("inner", (STORES_INNER, LOADS_INNER)), threads_axis(target)

    def pieces(self, spec: LayerSpec, point: Point) -> int:
        return spec.output.shape[_shared(spec, point["inner"])]

    def work(self, spec: LayerSpec, target: Target, choice: Choice) -> Work:
        inner = spec.output.shape[_order(spec, choice.tiles["inner"])[-1]]
        count = Count()
        count.add(
            float(spec.output.elements), alu=LOOP_INSTRUCTIONS + ADDRESS_INSTRUCTIONS, loads=1, stores=1
        )
        count.add(spec.output.elements / inner, alu=LOOP_INSTRUCTIONS + 2 * ADDRESS_INSTRUCTIONS)
        pieces = spec.output.shape[_shared(spec, choice.tiles["inner"])]
        return count.work(spec, 0.0, 0.0, 0.0, balance=Share(pieces, choice.threads).balance)

    def emit(
        self, spec: LayerSpec, target: Target, choice: Choice, weights: Sequence[FloatArray], entry: str
    ) -> CpuProgram:
        shape, source_strides = spec.output.shape, _strides(spec.inputs[0].shape)
        strides = [source_strides[axis] for axis in _permutation(spec)]
        shared = _shared(spec, choice.tiles["inner"])
        shares = {axis: Share(size, 1) for axis, size in enumerate(shape)}
        shares[shared] = Share(shape[shared], choice.threads)
        loops = [
            f"for (int i{axis} = {shares[axis].first}; i{axis} < {shares[axis].end}; ++i{axis})"
            for axis in _order(spec, choice.tiles["inner"])
        ]
        source = fill(
            _SOURCE,
            entry=entry,
            share=shares[shared].declaration,
            loops="\n".join(f"{' ' * 4 * (depth + 2)}{loop}" for depth, loop in enumerate(loops)).lstrip(),
            statement=f"{' ' * 4 * (len(loops) + 2)}y[{_index(_strides(shape))}] = x[{_index(strides)}];",
        )
        elements = spec.output.elements
        nothing = np.zeros(0, dtype=np.float32)
        return CpuProgram(source, entry, nothing, (elements,), (elements,), 0, choice.threads)


def _permutation(spec: LayerSpec) -> tuple[int, ...]:
    assert isinstance(spec.op, Transpose)
    return spec.op.permutation


def _shared(spec: LayerSpec, inner: str) -> int:
    """The axis of the output whose loop the threads share."""
    order = _order(spec, inner)
    return next((axis for axis in order if spec.output.shape[axis] > 1), order[0])


def _order(spec: LayerSpec, inner: str) -> tuple[int, ...]:
    """The axes of the output from the outermost loop to the innermost."""
    axes = tuple(range(len(spec.output.shape)))
    if inner == STORES_INNER:
        return axes
    return tuple(_permutation(spec).index(axis) for axis in axes)


def _strides(shape: tuple[int, ...]) -> list[int]:
    return [math.prod(shape[axis + 1 :]) for axis in range(len(shape))]


def _index(strides: Sequence[int]) -> str:
    return " + ".join(f"i{axis} * {stride}" for axis, stride in enumerate(strides))


_SOURCE = """
    void $entry(const float *const *inputs, const float *weights, float *const *outputs, void *workspace, int part)
    {
        float *const output = outputs[0];
        $share
        const float *restrict x = inputs[0];
        float *restrict y = output;
        (void)weights;
        (void)workspace;
        $loops
$statement
    }
"""
