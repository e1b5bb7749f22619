"""Reshapes as copies."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from codegen.element_type import FLOAT32
from codegen.engine_registry import layout_named
from codegen.engines.cpu.instructions import (
    Count,
)
from codegen.engines.cpu.kernel import CpuKernel
from codegen.engines.cpu.layout import BLOCKED_TYPES, CHANNEL_LAYOUTS
from codegen.engines.cpu.machine import block_lanes
from codegen.engines.cpu.source import fill
from codegen.graph import LayerSpec
from codegen.layout import plane
from codegen.operators.reshape import Reshape
from codegen.program import CpuProgram
from codegen.schedule import Axis, AxisNames, Choice, Point, Work
from codegen.target import Target
from codegen.tensor import FloatArray

_LAYOUTS = ("nchw", "pixel16", *CHANNEL_LAYOUTS)  # by their place in plans


class CpuReshape(CpuKernel):
    """A copy of the elements; a bundle makes it a view of its input and copies nothing.

    Where batch, channels and pixels stay what they are, the elements do not move in pixel16 and in the target's
    blocks of channels either.

    Axes:
        layout: of the input and of the output
    """

    name = "cpu_reshape"
    element_types: ClassVar[frozenset[str]] = BLOCKED_TYPES
    axis_names: ClassVar[AxisNames] = {"layout": _LAYOUTS}

    def computes(self, spec: LayerSpec, target: Target) -> bool:
        return isinstance(spec.op, Reshape)

    def axes(self, spec: LayerSpec, target: Target) -> tuple[Axis, ...]:
        offered = {"nchw", f"channel{block_lanes(target)}"}
        if spec.output.element_type.size_bytes == FLOAT32.size_bytes:
            offered.add("pixel16")
        return (Axis("layout", tuple(name for name in _layouts(spec) if name in offered)),)

    def layouts(self, spec: LayerSpec, point: Point) -> tuple[tuple[str, ...], str]:
        return (point["layout"],), point["layout"]

    def work(self, spec: LayerSpec, target: Target, choice: Choice) -> Work:
        count = Count()
        count.add_copy(layout_named(choice.output_layout).elements(spec.output))
        return count.work(spec, 0.0, 0.0, 0.0)

    def emit(
        self, spec: LayerSpec, target: Target, choice: Choice, weights: Sequence[FloatArray], entry: str
    ) -> CpuProgram:
        layout = layout_named(choice.output_layout)
        elements, size_bytes = layout.elements(spec.output), layout.size_bytes(spec.output)
        source = "#include <string.h>\n" + fill(_SOURCE, entry=entry, bytes=size_bytes)
        return CpuProgram(source, entry, np.zeros(0, np.float32), (elements,), (elements,), 0)


def _layouts(spec: LayerSpec) -> tuple[str, ...]:
    source, result = spec.inputs[0], spec.output
    if len(source.shape) < 2 or len(result.shape) < 2 or plane(source) != plane(result):
        return ("nchw",)
    return _LAYOUTS


_SOURCE = """
    void $entry(const float *const *inputs, const float *weights, float *const *outputs, void *workspace, int part)
    {
        float *const output = outputs[0];
        (void)weights;
        (void)workspace;
        (void)part;
        memcpy(output, inputs[0], $bytes);
    }
"""
