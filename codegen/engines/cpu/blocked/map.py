"""Elementwise layers on blocks of channels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from codegen.engine_registry import layout_named
from codegen.engines.cpu.blocked.kernel import BlockedKernel, blocked_layout, blocks_of
from codegen.engines.cpu.blocked.vectors import constant_vector, vector, vector_epilogue, vector_prologue
from codegen.engines.cpu.expression_text import scalar_prologue, vector_text
from codegen.engines.cpu.instructions import (
    ADDRESS_INSTRUCTIONS,
    LOOP_INSTRUCTIONS,
    Count,
)
from codegen.engines.cpu.source import fill
from codegen.engines.cpu.threads import (
    LINE,
    PIXELS_SHARED,
    SHARED_NAMES,
    Share,
    nothing_shared,
    shared_axis,
    threads_axis,
)
from codegen.expression import RESULT, Expression, as_clamp, clamp
from codegen.graph import LayerSpec
from codegen.layout import plane
from codegen.operators.elementwise import Map
from codegen.program import CpuProgram
from codegen.schedule import Axis, Choice, Point, Work
from codegen.target import Target
from codegen.tensor import FloatArray, Shape, TensorType


class CpuBlockedMap(BlockedKernel):
    """One pass over all vectors. Beside tensors of the output's shape it takes one number for each channel: a tensor
    whose planes are single pixels, and weights.

    Axes:
        shared: what the threads share out: pixels (or rows) of all channels, or all pixels of some channels
    """

    name = "cpu_blocked_map"
    axis_names = SHARED_NAMES

    def computes(self, spec: LayerSpec, target: Target) -> bool:
        if not isinstance(spec.op, Map) or len(spec.output.shape) < 2:
            return False
        shape = spec.output.shape
        one_a_channel = (*shape[:2], *(1,) * (len(shape) - 2))
        return all(tensor.shape in (shape, one_a_channel) for tensor in spec.inputs) and all(
            _is_of_channels(weight.shape, shape) for weight in spec.weights
        )

    def axes(self, spec: LayerSpec, target: Target) -> tuple[Axis, ...]:
        return self.lanes_axis(target), shared_axis(target), threads_axis(target)

    def pieces(self, spec: LayerSpec, point: Point) -> int:
        return _share(spec, point["lanes"], point).pieces

    def refusal(self, spec: LayerSpec, target: Target, point: Point) -> str | None:
        return nothing_shared(point)

    def work(self, spec: LayerSpec, target: Target, choice: Choice) -> Work:
        assert isinstance(spec.op, Map)
        lanes, operands = choice.tiles["lanes"], len(spec.inputs) + len(spec.weights)
        vectors = float(_vectors(spec, lanes))
        count = Count()
        count.add(vectors * lanes, alu=spec.op.expression.instructions, loads=operands, stores=1)
        count.add(vectors, alu=LOOP_INSTRUCTIONS + ADDRESS_INSTRUCTIONS)
        return count.work(spec, 0.0, 0.0, 0.0, balance=_share(spec, lanes, choice.splits).balance)

    def emit(
        self, spec: LayerSpec, target: Target, choice: Choice, weights: Sequence[FloatArray], entry: str
    ) -> CpuProgram:
        op, lanes = spec.op, choice.tiles["lanes"]
        assert isinstance(op, Map)
        share, layout = _share(spec, lanes, choice.splits), layout_named(choice.output_layout)
        channels, blocks = spec.output.shape[1], blocks_of(spec.output.shape[1], lanes)
        by_rows = _is_by_rows(choice.splits)
        planes, plane, width = _planes(spec, lanes, by_rows)
        operands = [
            constant_vector(
                lanes, f"inputs[{i}] + (size_t){'i' if _is_whole(spec, tensor) else 'p'} * {lanes}"
            )
            for i, tensor in enumerate(spec.inputs)
        ]
        operands += [
            constant_vector(lanes, f"weights + (size_t)({i * blocks} + p % {blocks}) * {lanes}")
            for i, _ in enumerate(spec.weights)
        ]
        over_planes = not by_rows and planes > 1
        text = fill(
            _SOURCE,
            entry=entry,
            share=share.declaration,
            first_plane=share.first if over_planes else 0,
            end_plane=share.end if over_planes else planes,
            first=0 if over_planes else share.first,
            end=plane if over_planes else share.end,
            plane=plane,
            width=width,
            result=vector(lanes, f"output + (size_t)i * {lanes}"),
            value=_value(lanes, op.expression, operands),
        )
        return CpuProgram(
            source="#include <stddef.h>\n" + vector_prologue(lanes, _outer(op.expression)) + text,
            entry=entry,
            weights=_packed(weights, channels, lanes),
            input_sizes=tuple(layout.elements(tensor) for tensor in spec.inputs),
            output_sizes=(layout.elements(spec.output),),
            workspace_bytes=0,
            threads=choice.threads,
        )


def _is_whole(spec: LayerSpec, tensor: TensorType) -> bool:
    return tensor.shape == spec.output.shape


def _is_of_channels(weight: Shape, shape: Shape) -> bool:
    """Whether a weight has one number for all, or for each channel."""
    if len(weight) > len(shape):
        return False
    aligned = (1,) * (len(shape) - len(weight)) + weight
    return aligned[1] in (1, shape[1]) and all(size == 1 for axis, size in enumerate(aligned) if axis != 1)


def _value(lanes: int, expression: Expression, operands: Sequence[str]) -> str:
    """Arithmetic of C as it is, clamped; functions of vectors for all else."""
    value, low, high = as_clamp(expression)
    if scalar_prologue(value):
        return vector_epilogue(lanes, operands[0], expression, *operands[1:])
    return vector_epilogue(lanes, vector_text(lanes, value, operands), clamp(RESULT, low, high))


def _outer(expression: Expression) -> Expression:
    """What the prologue must serve: nothing but a clamp where C has the operators."""
    value, low, high = as_clamp(expression)
    return expression if scalar_prologue(value) else clamp(RESULT, low, high)


def _packed(weights: Sequence[FloatArray], channels: int, lanes: int) -> FloatArray:
    """For each weight a number for every channel, blocks filled up by ones."""
    packed = np.ones((len(weights), blocks_of(channels, lanes) * lanes), dtype=np.float32)
    for row, value in zip(packed, weights, strict=True):
        row[:channels] = value.reshape(-1)
    return packed.reshape(-1)


def _planes(spec: LayerSpec, lanes: int, by_rows: bool) -> tuple[int, int, int]:
    """How many planes there are, vectors of one, and of one of its rows. Where no operand asks for its channel all
    vectors are one plane; where threads share rows, a plane is a picture's.
    """
    batch, channels, pixels = plane(spec.output)
    planes, vectors = batch * blocks_of(channels, lanes), _vectors(spec, lanes)
    if by_rows:
        height = spec.output.shape[2] if len(spec.output.shape) == 4 else 1
        return planes, pixels, pixels // height
    if spec.weights or not all(_is_whole(spec, tensor) for tensor in spec.inputs):
        return planes, pixels, 1
    return 1, vectors, 1


def _vectors(spec: LayerSpec, lanes: int) -> int:
    return layout_named(blocked_layout(lanes)).elements(spec.output) // lanes


def _is_by_rows(splits: Point) -> bool:
    return bool(splits["threads"] > 1 and splits["shared"] == PIXELS_SHARED)


def _share(spec: LayerSpec, lanes: int, splits: Point) -> Share:
    """The rows of every plane, whole planes, or all vectors; what is no picture has one row."""
    by_rows = _is_by_rows(splits)
    planes, vectors, _ = _planes(spec, lanes, by_rows)
    if by_rows:
        return Share(spec.output.shape[2] if len(spec.output.shape) == 4 else 1, splits["threads"])
    if planes > 1:
        return Share(planes, splits["threads"])
    return Share(vectors, splits["threads"], max(1, LINE // lanes))


_SOURCE = """
    void $entry(const float *const *inputs, const float *weights, float *const *outputs, void *workspace, int part)
    {
        float *const output = outputs[0];
        $share
        (void)inputs;
        (void)weights;
        (void)workspace;
        for (int p = $first_plane; p < $end_plane; ++p)
            for (int i = p * $plane + $first * $width; i < p * $plane + $end * $width; ++i)
                $result = $value;
    }
"""
