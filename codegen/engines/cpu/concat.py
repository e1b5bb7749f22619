"""Tensors behind each other along the channels: in every layout a few copies of neighbouring elements."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from codegen.engine_registry import layout_named
from codegen.engines.cpu.instructions import ADDRESS_INSTRUCTIONS, LOOP_INSTRUCTIONS, Count
from codegen.engines.cpu.kernel import CpuKernel
from codegen.engines.cpu.source import fill
from codegen.engines.cpu.threads import LINE, Share, threads_axis
from codegen.engines.videocore4.layout import LANES, block_lines
from codegen.graph import LayerSpec
from codegen.layout import plane
from codegen.operators.concat import Concat
from codegen.program import CpuProgram
from codegen.schedule import Axis, AxisNames, Choice, Point, Work
from codegen.target import Target
from codegen.tensor import FloatArray, TensorType

_LAYOUTS = ("nchw", "pixel16")
CALL_INSTRUCTIONS = 20.0  # entering and leaving memcpy


class CpuConcat(CpuKernel):
    """All inputs and the output have one layout. Threads share every copy.

    Axes:
        layout: of all inputs and of the output
        threads: how many threads of the CPU share the layer
    """

    name = "cpu_concat"
    axis_names: ClassVar[AxisNames] = {"layout": _LAYOUTS}

    def computes(self, spec: LayerSpec, target: Target) -> bool:
        return isinstance(spec.op, Concat) and spec.op.axis == 1

    def axes(self, spec: LayerSpec, target: Target) -> tuple[Axis, ...]:
        return Axis("layout", _LAYOUTS), threads_axis(target)

    def pieces(self, spec: LayerSpec, point: Point) -> int:
        shares = _shares(spec, point["layout"], point["threads"])
        return max(share.pieces for share in shares)

    def layouts(self, spec: LayerSpec, point: Point) -> tuple[tuple[str, ...], str]:
        name = point["layout"]
        return (name,) * len(spec.inputs), name

    def work(self, spec: LayerSpec, target: Target, choice: Choice) -> Work:
        count = Count()
        for tensor in spec.inputs:
            runs = _Runs.of(tensor, choice.output_layout)
            count.add_copy(float(runs.count * runs.length))
            calls = float(runs.count * choice.threads)
            count.add(calls, alu=CALL_INSTRUCTIONS + LOOP_INSTRUCTIONS + ADDRESS_INSTRUCTIONS)
        shares = _shares(spec, choice.output_layout, choice.threads)
        busiest = sum(share.balance * share.pieces for share in shares)
        return count.work(spec, 0.0, 0.0, 0.0, balance=busiest / sum(share.pieces for share in shares))

    def emit(
        self, spec: LayerSpec, target: Target, choice: Choice, weights: Sequence[FloatArray], entry: str
    ) -> CpuProgram:
        name = choice.output_layout
        result = _Runs.of(spec.output, name)
        copies, start = [], 0
        for index, (tensor, share) in enumerate(
            zip(spec.inputs, _shares(spec, name, choice.threads), strict=True)
        ):
            runs = _Runs.of(tensor, name)
            copies.append(_copy(f"{result.stride} + {start}", index, runs, share))
            start += runs.length
        source = fill(
            _SOURCE,
            entry=entry,
            runs=result.count,
            unused="(void)part;" if choice.threads == 1 else "",
            copies=f"\n{' ' * 12}".join(copies),
        )
        layout = layout_named(name)
        sizes = tuple(layout.elements(tensor) for tensor in spec.inputs)
        size = layout.elements(spec.output)
        nothing = np.zeros(0, dtype=np.float32)
        return CpuProgram(source, entry, nothing, sizes, (size,), 0, choice.threads)


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


def _shares(spec: LayerSpec, layout: str, threads: int) -> list[Share]:
    """The elements of one run of each input."""
    return [Share(_Runs.of(tensor, layout).length, threads, LINE) for tensor in spec.inputs]


def _copy(place: str, index: int, runs: _Runs, share: Share) -> str:
    to, source = f"output + run * {place}", f"inputs[{index}] + run * {runs.stride}"
    if share.threads == 1:
        return f"memcpy({to}, {source}, {runs.length} * sizeof *output);"
    copy = f"memcpy({to} + first, {source} + first, (size_t)(end - first) * sizeof *output);"
    return f"{{ {share.declaration} {copy} }}"


_SOURCE = """
    #include <string.h>

    void $entry(const float *const *inputs, const float *weights, float *const *outputs, void *workspace, int part)
    {
        float *const output = outputs[0];
        (void)weights;
        (void)workspace;
        $unused
        for (int run = 0; run < $runs; ++run) {
            $copies
        }
    }
"""
