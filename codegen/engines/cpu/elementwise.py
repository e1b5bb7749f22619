"""Stand-alone activations, and reshapes as copies."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from codegen.engines.cpu.instructions import (
    ADDRESS_INSTRUCTIONS,
    LOOP_INSTRUCTIONS,
    Count,
    clamp_instructions,
)
from codegen.engines.cpu.kernel import CpuKernel, Point
from codegen.engines.cpu.machine import block_lanes
from codegen.engines.cpu.source import clamped, fill
from codegen.engines.cpu.threads import LINE, Share, threads_axis
from codegen.graph import Clamp, LayerSpec, Reshape
from codegen.layout import LAYOUTS, layout_named, plane
from codegen.program import CpuProgram
from codegen.schedule import Axis, Choice, Work
from codegen.target import Target
from codegen.tensor import FloatArray


class CpuClamp(CpuKernel):
    """One pass over the tensor, which threads share."""

    name = "cpu_clamp"

    def computes(self, spec: LayerSpec) -> bool:
        return isinstance(spec.op, Clamp)

    def axes(self, spec: LayerSpec, target: Target) -> tuple[Axis, ...]:
        return (threads_axis(target),)

    def pieces(self, spec: LayerSpec, point: Point) -> int:
        return Share(spec.output.elements, point["threads"], LINE).pieces

    def work(self, spec: LayerSpec, target: Target, choice: Choice) -> Work:
        count = Count()
        loop = (LOOP_INSTRUCTIONS + ADDRESS_INSTRUCTIONS) / 4
        count.add(float(spec.output.elements), alu=clamp_instructions(spec) + loop, loads=1, stores=1)
        balance = Share(spec.output.elements, choice.threads, LINE).balance
        return count.work(spec, 0.0, 0.0, 0.0, balance=balance)

    def emit(
        self, spec: LayerSpec, target: Target, choice: Choice, weights: Sequence[FloatArray], entry: str
    ) -> CpuProgram:
        assert isinstance(spec.op, Clamp)
        value = clamped("v", spec.op.activation)
        return _pass_over(entry, Share(spec.output.elements, choice.threads, LINE), value)


class CpuReshape(CpuKernel):
    """A copy of the elements; a bundle makes it a view of its input and copies nothing.

    `layout` is 0 for nchw and, where batch, channels and pixels stay what they are, the place of pixel16 or of the
    target's blocks of channels among all layouts: there too the elements do not move.
    """

    name = "cpu_reshape"

    def computes(self, spec: LayerSpec) -> bool:
        return isinstance(spec.op, Reshape)

    def axes(self, spec: LayerSpec, target: Target) -> tuple[Axis, ...]:
        offered = {"nchw", "pixel16", f"channel{block_lanes(target)}"}
        return (Axis("layout", tuple(i for i, name in enumerate(_layouts(spec)) if name in offered)),)

    def layouts(self, spec: LayerSpec, point: Point) -> tuple[tuple[str, ...], str]:
        name = _layouts(spec)[point["layout"]]
        return (name,), name

    def work(self, spec: LayerSpec, target: Target, choice: Choice) -> Work:
        count = Count()
        count.add_copy(layout_named(choice.output_layout).size_bytes(spec.output) / 4)
        return count.work(spec, 0.0, 0.0, 0.0)

    def emit(
        self, spec: LayerSpec, target: Target, choice: Choice, weights: Sequence[FloatArray], entry: str
    ) -> CpuProgram:
        elements = layout_named(choice.output_layout).size_bytes(spec.output) // 4
        return _pass_over(entry, Share(elements, 1), "v")


def _layouts(spec: LayerSpec) -> tuple[str, ...]:
    source, result = spec.inputs[0], spec.output
    if len(source.shape) < 2 or len(result.shape) < 2 or plane(source) != plane(result):
        return ("nchw",)
    return tuple(LAYOUTS)


def _pass_over(entry: str, share: Share, value: str) -> CpuProgram:
    source = fill(
        """
        void $entry(const float *const *inputs, const float *weights, float *output, void *workspace, int part)
        {
            $share
            const float *restrict x = inputs[0];
            float *restrict y = output;
            (void)weights;
            (void)workspace;
            for (int i = $first; i < $end; ++i) {
                const float v = x[i];
                y[i] = $value;
            }
        }
        """,
        entry=entry,
        share=share.declaration,
        first=share.first,
        end=share.end,
        value=value,
    )
    nothing = np.zeros(0, dtype=np.float32)
    return CpuProgram(source, entry, nothing, (share.count,), share.count, 0, share.threads)
