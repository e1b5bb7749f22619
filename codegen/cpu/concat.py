"""Tensors behind each other along the channels: in every layout a few copies of neighbouring elements."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from codegen.cpu.instructions import ADDRESS_INSTRUCTIONS, LOOP_INSTRUCTIONS, Count
from codegen.cpu.kernel import CpuKernel, Point
from codegen.cpu.source import fill
from codegen.graph import Concat, FloatArray, LayerSpec, TensorType
from codegen.layout import LANES, LAYOUTS, block_lines, layout_named, plane
from codegen.program import CpuProgram
from codegen.schedule import Axis, Choice, Work
from codegen.target import Target

CALL_INSTRUCTIONS = 20.0  # entering and leaving memcpy


class CpuConcat(CpuKernel):
    """All inputs and the output have one layout: `layout` is 0 for nchw, 1 for pixel16."""

    name = "cpu_concat"

    def computes(self, spec: LayerSpec) -> bool:
        return isinstance(spec.op, Concat) and spec.op.axis == 1

    def axes(self, spec: LayerSpec, target: Target) -> tuple[Axis, ...]:
        return (Axis("layout", tuple(range(len(LAYOUTS)))),)

    def layouts(self, spec: LayerSpec, point: Point) -> tuple[tuple[str, ...], str]:
        name = sorted(LAYOUTS)[point["layout"]]
        return (name,) * len(spec.inputs), name

    def work(self, spec: LayerSpec, target: Target, choice: Choice) -> Work:
        count = Count()
        for tensor in spec.inputs:
            runs = _Runs.of(tensor, choice.output_layout)
            count.add_copy(float(runs.count * runs.length))
            count.add(float(runs.count), alu=CALL_INSTRUCTIONS + LOOP_INSTRUCTIONS + ADDRESS_INSTRUCTIONS)
        return count.work(spec, 0.0, 0.0, 0.0)

    def emit(
        self, spec: LayerSpec, target: Target, choice: Choice, weights: Sequence[FloatArray], entry: str
    ) -> CpuProgram:
        name = choice.output_layout
        result = _Runs.of(spec.output, name)
        copies, first = [], 0
        for index, tensor in enumerate(spec.inputs):
            runs = _Runs.of(tensor, name)
            copies.append(
                f"memcpy(output + run * {result.stride} + {first}, inputs[{index}] + run * {runs.stride}, "
                f"{runs.length} * sizeof *output);"
            )
            first += runs.length
        source = fill(_SOURCE, entry=entry, runs=result.count, copies=f"\n{' ' * 12}".join(copies))
        layout = layout_named(name)
        sizes = tuple(layout.size_bytes(tensor) // 4 for tensor in spec.inputs)
        size = layout.size_bytes(spec.output) // 4
        return CpuProgram(source, entry, np.zeros(0, dtype=np.float32), sizes, size, 0)


@dataclass(frozen=True)
class _Runs:
    """All channels of an image, or of a block of its pixels: `length` neighbouring elements every `stride`."""

    count: int
    length: int
    stride: int

    @staticmethod
    def of(tensor: TensorType, layout: str) -> _Runs:
        batch, channels, pixels = plane(tensor)
        if layout == "nchw":
            return _Runs(batch, channels * pixels, channels * pixels)
        return _Runs(batch * -(-pixels // LANES), channels * LANES, block_lines(channels) * LANES)


_SOURCE = """
    #include <string.h>

    void $entry(const float *const *inputs, const float *weights, float *output, void *workspace)
    {
        (void)weights;
        (void)workspace;
        for (int run = 0; run < $runs; ++run) {
            $copies
        }
    }
"""
