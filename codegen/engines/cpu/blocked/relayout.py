"""Moving a tensor between row-major order and blocks of channels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from codegen.engine_registry import layout_named
from codegen.engines.cpu.instructions import LOOP_INSTRUCTIONS, Count
from codegen.engines.cpu.kernel import CpuKernel
from codegen.engines.cpu.layout import BLOCKED_TYPES, CHANNEL_LAYOUTS
from codegen.engines.cpu.source import element_header, element_pointer, fill
from codegen.engines.cpu.threads import Share, threads_axis
from codegen.graph import LayerSpec
from codegen.layout import plane
from codegen.operators.relayout import Relayout
from codegen.program import CpuProgram
from codegen.schedule import Axis, Choice, Point, Work
from codegen.target import Target
from codegen.tensor import FloatArray


class CpuBlockedRelayout(CpuKernel):
    """Blocks of channels by tiles of as many pixels are transposed; threads share the tiles of all blocks.

    Axes:
        threads: how many threads of the CPU share the layer
    """

    name = "cpu_blocked_relayout"
    element_types: ClassVar[frozenset[str]] = BLOCKED_TYPES

    def computes(self, spec: LayerSpec, target: Target) -> bool:
        op = spec.op
        if not isinstance(op, Relayout):
            return False
        return {op.source, op.target} & {*CHANNEL_LAYOUTS} != set() and "nchw" in (op.source, op.target)

    def axes(self, spec: LayerSpec, target: Target) -> tuple[Axis, ...]:
        return (threads_axis(target),)

    def pieces(self, spec: LayerSpec, point: Point) -> int:
        return _share(spec, point["threads"]).pieces

    def layouts(self, spec: LayerSpec, point: Point) -> tuple[tuple[str, ...], str]:
        op = _relayout(spec)
        return (op.source,), op.target

    def work(self, spec: LayerSpec, target: Target, choice: Choice) -> Work:
        batch, channels, pixels = plane(spec.output)
        count = Count()
        count.add_copy(float(batch * channels * pixels))
        count.add(float(_share(spec, 1).count), alu=3 * LOOP_INSTRUCTIONS)
        balance = _share(spec, choice.threads).balance
        return count.work(spec, 0.0, 0.0, 8.0 * _lanes(spec) ** 2, balance=balance)

    def emit(
        self, spec: LayerSpec, target: Target, choice: Choice, weights: Sequence[FloatArray], entry: str
    ) -> CpuProgram:
        op, lanes = _relayout(spec), _lanes(spec)
        _, channels, pixels = plane(spec.output)
        share, element = _share(spec, choice.threads), spec.output.element_type.c_type
        to_blocks = op.source == "nchw"
        source = fill(
            _SOURCE,
            entry=entry,
            share=share.declaration,
            first=share.first,
            end=share.end,
            lanes=lanes,
            channels=channels,
            blocks=-(-channels // lanes),
            pixels=pixels,
            tiles=-(-pixels // lanes),
            element=element,
            inputs=element_pointer("inputs[0]", element),
            outputs=element_pointer("outputs[0]", element, written=True),
            x="plane" if to_blocks else "block",
            y="block" if to_blocks else "plane",
            move=_TO_BLOCKS if to_blocks else _FROM_BLOCKS,
        )
        source = fill(source, lanes=lanes, pixels=pixels, zero="0.0f" if element == "float" else "0")
        source = element_header(element) + source
        sizes = [layout_named(name).elements(spec.output) for name in (op.source, op.target)]
        nothing = np.zeros(0, dtype=np.float32)
        return CpuProgram(source, entry, nothing, (sizes[0],), (sizes[1],), 0, choice.threads)


def _relayout(spec: LayerSpec) -> Relayout:
    assert isinstance(spec.op, Relayout)
    return spec.op


def _lanes(spec: LayerSpec) -> int:
    op = _relayout(spec)
    return CHANNEL_LAYOUTS[op.target if op.source == "nchw" else op.source].lanes


def _share(spec: LayerSpec, threads: int) -> Share:
    batch, channels, pixels = plane(spec.output)
    lanes = _lanes(spec)
    return Share(batch * -(-channels // lanes) * -(-pixels // lanes), threads)


_TO_BLOCKS = """if (channels == $lanes && pixels == $lanes)
                for (int j = 0; j < $lanes; ++j)
                    for (int i = 0; i < $lanes; ++i)
                        y[j * $lanes + i] = x[i * $pixels + j];
            else
                for (int j = 0; j < pixels; ++j)
                    for (int i = 0; i < $lanes; ++i)
                        y[j * $lanes + i] = i < channels ? x[i * $pixels + j] : $zero;"""

_FROM_BLOCKS = """if (channels == $lanes && pixels == $lanes)
                for (int i = 0; i < $lanes; ++i)
                    for (int j = 0; j < $lanes; ++j)
                        y[i * $pixels + j] = x[j * $lanes + i];
            else
                for (int i = 0; i < channels; ++i)
                    for (int j = 0; j < pixels; ++j)
                        y[i * $pixels + j] = x[j * $lanes + i];"""

_SOURCE = """
    void $entry(const float *const *inputs, const float *weights, float *const *outputs, void *workspace, int part)
    {
        $element *const output = $outputs;
        $share
        (void)weights;
        (void)workspace;
        for (int t = $first; t < $end; ++t) {
            const int p = t % $tiles * $lanes, b = t / $tiles % $blocks, n = t / ($tiles * $blocks);
            const int plane = (n * $channels + b * $lanes) * $pixels + p;
            const int block = ((n * $blocks + b) * $pixels + p) * $lanes;
            const $element *restrict x = $inputs + $x;
            $element *restrict y = output + $y;
            const int channels = $channels - b * $lanes < $lanes ? $channels - b * $lanes : $lanes;
            const int pixels = $pixels - p < $lanes ? $pixels - p : $lanes;
            $move
        }
    }
"""
