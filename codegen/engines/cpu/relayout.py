"""Moving a tensor between row-major order and the QPUs' blocks of 16 pixels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from codegen.engine_registry import layout_named
from codegen.engines.cpu.instructions import LOOP_INSTRUCTIONS, Count
from codegen.engines.cpu.kernel import CpuKernel
from codegen.engines.cpu.source import fill
from codegen.engines.cpu.threads import Share, threads_axis
from codegen.engines.videocore4.layout import LANES, LINE_BYTES, block_lines
from codegen.graph import LayerSpec
from codegen.layout import plane
from codegen.operators.relayout import Relayout
from codegen.program import CpuProgram
from codegen.schedule import Axis, AxisNames, Choice, Point, Work
from codegen.target import Target
from codegen.tensor import FloatArray

_DIRECTIONS = {("nchw", "pixel16"), ("pixel16", "nchw")}
CHANNELS_INNER, PIXELS_INNER = "channels", "pixels"


class CpuRelayout(CpuKernel):
    """Lines of 16 pixels are copied whole; `inner` is the faster loop: channels or blocks of pixels.

    Threads share the slower one.

    Axes:
        inner: what the faster loop walks: channels, or blocks of pixels
        threads: how many threads of the CPU share the layer
    """

    name = "cpu_relayout"
    axis_names: ClassVar[AxisNames] = {"inner": (CHANNELS_INNER, PIXELS_INNER)}

    def computes(self, spec: LayerSpec, target: Target) -> bool:
        return isinstance(spec.op, Relayout) and (spec.op.source, spec.op.target) in _DIRECTIONS

    def axes(self, spec: LayerSpec, target: Target) -> tuple[Axis, ...]:
        return Axis("inner", (CHANNELS_INNER, PIXELS_INNER)), threads_axis(target)

    def pieces(self, spec: LayerSpec, point: Point) -> int:
        return _share(spec, point["inner"], point["threads"]).pieces

    def layouts(self, spec: LayerSpec, point: Point) -> tuple[tuple[str, ...], str]:
        op = _relayout(spec)
        return (op.source,), op.target

    def work(self, spec: LayerSpec, target: Target, choice: Choice) -> Work:
        batch, channels, pixels = plane(spec.output)
        lines = batch * channels * -(-pixels // LANES)
        count = Count()
        count.add_copy(float(lines * LANES))
        count.add(lines, alu=3 * LOOP_INSTRUCTIONS)
        balance = _share(spec, choice.tiles["inner"], choice.threads).balance
        return count.work(spec, 0.0, 0.0, 2.0 * LINE_BYTES, balance=balance)

    def emit(
        self, spec: LayerSpec, target: Target, choice: Choice, weights: Sequence[FloatArray], entry: str
    ) -> CpuProgram:
        op = _relayout(spec)
        batch, channels, pixels = plane(spec.output)
        blocks = -(-pixels // LANES)
        share = _share(spec, choice.tiles["inner"], choice.threads)
        if choice.tiles["inner"] == CHANNELS_INNER:
            loops = [_loop("b", share), _loop("c", Share(channels, 1))]
        else:
            loops = [_loop("c", share), _loop("b", Share(blocks, 1))]
        to_blocks = op.target == "pixel16"
        row, line = (
            f"(n * {channels} + c) * {pixels}",
            f"((n * {blocks} + b) * {block_lines(channels)} + c) * {LANES}",
        )
        source = fill(
            _SOURCE,
            entry=entry,
            share=share.declaration,
            batch=batch,
            outer=loops[0],
            inner=loops[1],
            lanes=LANES,
            pixels=pixels,
            source=f"{row} + b * {LANES}" if to_blocks else line,
            target=line if to_blocks else f"{row} + b * {LANES}",
            padding=_PADDING if to_blocks else "",
        )
        sizes = [layout_named(name).elements(spec.output) for name in (op.source, op.target)]
        nothing = np.zeros(0, dtype=np.float32)
        return CpuProgram(source, entry, nothing, (sizes[0],), (sizes[1],), 0, choice.threads)


def _relayout(spec: LayerSpec) -> Relayout:
    assert isinstance(spec.op, Relayout)
    return spec.op


def _share(spec: LayerSpec, inner: str, threads: int) -> Share:
    _, channels, pixels = plane(spec.output)
    return Share(-(-pixels // LANES) if inner == CHANNELS_INNER else channels, threads)


def _loop(index: str, share: Share) -> str:
    return f"for (int {index} = {share.first}; {index} < {share.end}; ++{index})"


_PADDING = f"for (int j = count; j < {LANES}; ++j)\n{' ' * 20}y[j] = 0.0f;"

_SOURCE = """
    void $entry(const float *const *inputs, const float *weights, float *const *outputs, void *workspace, int part)
    {
        float *const output = outputs[0];
        $share
        (void)weights;
        (void)workspace;
        for (int n = 0; n < $batch; ++n)
            $outer
                $inner {
                    const float *restrict x = inputs[0] + $source;
                    float *restrict y = output + $target;
                    const int count = $pixels - b * $lanes < $lanes ? $pixels - b * $lanes : $lanes;
                    if (count == $lanes) {
                        for (int j = 0; j < $lanes; ++j)
                            y[j] = x[j];
                    } else {
                        for (int j = 0; j < count; ++j)
                            y[j] = x[j];
                        $padding
                    }
                }
    }
"""
