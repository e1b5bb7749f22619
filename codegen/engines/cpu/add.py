"""The sum of two tensors."""

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
from codegen.engines.cpu.source import clamped, fill
from codegen.engines.cpu.threads import LINE, Share, threads_axis
from codegen.graph import Add, LayerSpec
from codegen.layout import LANES, block_lines, layout_named, plane
from codegen.program import CpuProgram
from codegen.schedule import Axis, Choice, Work
from codegen.target import Target
from codegen.tensor import FloatArray


class CpuAdd(CpuKernel):
    """One pass over both tensors, `block` elements a step.

    Sums do not ask where an element lies: `layout` is 0 for nchw and, for tensors with channels, 1 for pixel16.
    Threads share the elements of nchw, and the blocks of pixels of pixel16.
    """

    name = "cpu_add"

    def computes(self, spec: LayerSpec) -> bool:
        return isinstance(spec.op, Add) and len(spec.inputs) == 2

    def axes(self, spec: LayerSpec, target: Target) -> tuple[Axis, ...]:
        layouts = Axis("layout", tuple(range(len(_layouts(spec)))))
        return Axis("block", (1, 8)), layouts, threads_axis(target)

    def pieces(self, spec: LayerSpec, point: Point) -> int:
        return _share(spec, _layouts(spec)[point["layout"]], point["threads"]).pieces

    def layouts(self, spec: LayerSpec, point: Point) -> tuple[tuple[str, ...], str]:
        name = _layouts(spec)[point["layout"]]
        return (name, name), name

    def work(self, spec: LayerSpec, target: Target, choice: Choice) -> Work:
        runs, length, _ = _runs(spec, choice.output_layout)
        count = Count()
        loop = (LOOP_INSTRUCTIONS + 1.5 * ADDRESS_INSTRUCTIONS) / choice.tiles["block"]
        count.add(float(runs * length), alu=1.0 + clamp_instructions(spec) + loop, loads=2, stores=1)
        count.add(float(runs), alu=LOOP_INSTRUCTIONS + 2 * ADDRESS_INSTRUCTIONS)
        balance = _share(spec, choice.output_layout, choice.threads).balance
        return count.work(spec, 0.0, 0.0, 0.0, balance=balance)

    def emit(
        self, spec: LayerSpec, target: Target, choice: Choice, weights: Sequence[FloatArray], entry: str
    ) -> CpuProgram:
        assert isinstance(spec.op, Add)
        block, layout = choice.tiles["block"], choice.output_layout
        runs, length, stride = _runs(spec, layout)
        share = _share(spec, layout, choice.threads)
        over_runs, over_elements = (Share(runs, 1), share) if layout == "nchw" else (share, Share(length, 1))
        whole = f"{over_elements.end} - ({over_elements.end} - {over_elements.first}) % {block}"
        source = fill(
            _SOURCE,
            entry=entry,
            share=share.declaration,
            first_run=over_runs.first,
            end_run=over_runs.end,
            stride=stride,
            first=over_elements.first,
            end=over_elements.end,
            whole=whole if share.threads > 1 else length - length % block,
            block=block,
            value=clamped("v", spec.op.activation),
        )
        size = layout_named(layout).size_bytes(spec.output) // 4
        nothing = np.zeros(0, dtype=np.float32)
        return CpuProgram(source, entry, nothing, (size, size), size, 0, choice.threads)


def _layouts(spec: LayerSpec) -> tuple[str, ...]:
    return ("nchw", "pixel16") if len(spec.output.shape) >= 2 else ("nchw",)


def _runs(spec: LayerSpec, layout: str) -> tuple[int, int, int]:
    """How many runs of neighbouring elements there are, their length and their distance: padding lines are left out."""
    if layout == "nchw":
        return 1, spec.output.elements, 0
    batch, channels, pixels = plane(spec.output)
    return batch * -(-pixels // LANES), channels * LANES, block_lines(channels) * LANES


def _share(spec: LayerSpec, layout: str, threads: int) -> Share:
    runs, length, _ = _runs(spec, layout)
    return Share(length, threads, LINE) if layout == "nchw" else Share(runs, threads)


_SOURCE = """
    void $entry(const float *const *inputs, const float *weights, float *output, void *workspace, int part)
    {
        $share
        (void)weights;
        (void)workspace;
        for (int run = $first_run; run < $end_run; ++run) {
            const float *restrict a = inputs[0] + run * $stride;
            const float *restrict b = inputs[1] + run * $stride;
            float *restrict y = output + run * $stride;
            int i = $first;
            for (; i < $whole; i += $block)
                for (int j = 0; j < $block; ++j) {
                    const float v = a[i + j] + b[i + j];
                    y[i + j] = $value;
                }
            for (; i < $end; ++i) {
                const float v = a[i] + b[i];
                y[i] = $value;
            }
        }
    }
"""
