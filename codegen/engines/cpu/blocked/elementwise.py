"""Sums and stand-alone activations of blocks of channels: what lies where does not matter to them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from codegen.engines.cpu.blocked.kernel import BlockedKernel, blocked_layout, lanes_axis
from codegen.engines.cpu.blocked.vectors import clamped_vector, constant_vector, vector, vector_prologue
from codegen.engines.cpu.instructions import (
    ADDRESS_INSTRUCTIONS,
    LOOP_INSTRUCTIONS,
    Count,
    clamp_instructions,
)
from codegen.engines.cpu.kernel import Point
from codegen.engines.cpu.source import fill
from codegen.engines.cpu.threads import LINE, PIXELS_SHARED, Share, nothing_shared, shared_axis, threads_axis
from codegen.graph import Add, Clamp, LayerSpec
from codegen.layout import layout_named
from codegen.program import CpuProgram
from codegen.schedule import Axis, Choice, Work
from codegen.target import Target
from codegen.tensor import FloatArray


class _Streamed(BlockedKernel):
    """One pass over all vectors, which threads share."""

    def axes(self, spec: LayerSpec, target: Target) -> tuple[Axis, ...]:
        return lanes_axis(target), shared_axis(target), threads_axis(target)

    def pieces(self, spec: LayerSpec, point: Point) -> int:
        return _share(spec, point["lanes"], point).pieces

    def refusal(self, spec: LayerSpec, target: Target, point: Point) -> str | None:
        return nothing_shared(point)

    def work(self, spec: LayerSpec, target: Target, choice: Choice) -> Work:
        lanes, inputs = choice.tiles["lanes"], len(spec.inputs)
        vectors = float(_vectors(spec, lanes))
        count = Count()
        alu = inputs - 1 + clamp_instructions(spec)
        count.add(vectors * lanes, alu=alu, loads=inputs, stores=1)
        count.add(vectors, alu=LOOP_INSTRUCTIONS + ADDRESS_INSTRUCTIONS)
        return count.work(spec, 0.0, 0.0, 0.0, balance=_share(spec, lanes, choice.splits).balance)

    def emit(
        self, spec: LayerSpec, target: Target, choice: Choice, weights: Sequence[FloatArray], entry: str
    ) -> CpuProgram:
        op, lanes = spec.op, choice.tiles["lanes"]
        assert isinstance(op, (Add, Clamp))
        share = _share(spec, lanes, choice.splits)
        vectors = _vectors(spec, lanes)
        height, width = spec.output.shape[2:] if _is_by_rows(choice.splits) else (vectors, 1)
        terms = [
            constant_vector(lanes, f"inputs[{i}] + (size_t)i * {lanes}") for i, _ in enumerate(spec.inputs)
        ]
        text = fill(
            _SOURCE,
            entry=entry,
            share=share.declaration,
            first=share.first,
            end=share.end,
            vectors=vectors,
            plane=height * width,
            width=width,
            result=vector(lanes, f"output + (size_t)i * {lanes}"),
            value=clamped_vector(lanes, " + ".join(terms), op.activation),
        )
        size = vectors * lanes
        return CpuProgram(
            source="#include <stddef.h>\n" + vector_prologue(lanes) + text,
            entry=entry,
            weights=np.zeros(0, dtype=np.float32),
            input_sizes=(size,) * len(spec.inputs),
            output_size=size,
            workspace_bytes=0,
            threads=choice.threads,
        )


class CpuBlockedAdd(_Streamed):
    """The sum of two tensors, a vector at a time."""

    name = "cpu_blocked_add"

    def computes(self, spec: LayerSpec) -> bool:
        return isinstance(spec.op, Add) and len(spec.inputs) == 2 and len(spec.output.shape) >= 2


class CpuBlockedClamp(_Streamed):
    """A stand-alone activation, a vector at a time."""

    name = "cpu_blocked_clamp"

    def computes(self, spec: LayerSpec) -> bool:
        return isinstance(spec.op, Clamp) and len(spec.output.shape) >= 2


def _vectors(spec: LayerSpec, lanes: int) -> int:
    return layout_named(blocked_layout(lanes)).size_bytes(spec.output) // (4 * lanes)


def _is_by_rows(splits: Point) -> bool:
    return splits["threads"] > 1 and splits["shared"] == PIXELS_SHARED


def _share(spec: LayerSpec, lanes: int, splits: Point) -> Share:
    """The rows of every plane, or all vectors; what is no picture has one row, which one thread takes whole."""
    if _is_by_rows(splits):
        return Share(spec.output.shape[2] if len(spec.output.shape) == 4 else 1, splits["threads"])
    return Share(_vectors(spec, lanes), splits["threads"], max(1, LINE // lanes))


_SOURCE = """
    void $entry(const float *const *inputs, const float *weights, float *output, void *workspace, int part)
    {
        $share
        (void)weights;
        (void)workspace;
        for (int before = 0; before < $vectors; before += $plane)
            for (int i = before + $first * $width; i < before + $end * $width; ++i)
                $result = $value;
    }
"""
