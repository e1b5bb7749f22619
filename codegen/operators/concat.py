"""Concatenation."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np

from codegen.errors import GraphSpecError
from codegen.interval import Interval, hull
from codegen.lengths import Length
from codegen.onnx_import.arithmetic import Arithmetic
from codegen.onnx_import.quantities import Number, Quantity
from codegen.onnx_import.registry import handles
from codegen.onnx_import.sizes import sizes_of, within_length
from codegen.onnx_import.steps import Steps
from codegen.operator import Arrays, Operator, Types
from codegen.operators.reshape import Reshape
from codegen.places import Piece, in_order
from codegen.tensor import Doubles, Shape, TensorType

if TYPE_CHECKING:
    from codegen.onnx_import.builder import GraphBuilder
    from codegen.onnx_import.node import OnnxNode


@dataclass(frozen=True)
class Concat(Operator):
    """Tensors of equal batch and planes behind each other along `axis`, which is 1: that of the channels.

    Fields:
        axis: the axis, counted from 0
    """

    moves_elements = True

    axis: int = 1

    def infer(self, inputs: Types, weights: Types, declared: Types) -> tuple[TensorType, ...]:
        shapes = [tensor.shape for tensor in inputs]
        if not inputs or weights:
            raise GraphSpecError(
                f"Concat takes at least 1 input and no weights, not {len(inputs)} and {len(weights)}"
            )
        if self.axis != 1:
            raise GraphSpecError(f"Concat along axis {self.axis}, not along the channels (axis 1)")
        if len({tensor.dtype for tensor in inputs}) != 1:
            raise GraphSpecError(f"Concat of tensors of {', '.join(tensor.dtype for tensor in inputs)}")
        if any(len(shape) < 2 for shape in shapes) or len(set(map(_without_channels, shapes))) != 1:
            raise GraphSpecError(f"Concat of tensors of shapes {shapes}, which differ beside the channels")
        channels = sum(shape[1] for shape in shapes)
        return (replace(inputs[0], shape=(shapes[0][0], channels, *shapes[0][2:])),)

    def evaluate(self, inputs: Arrays, weights: Arrays, outputs: Types) -> tuple[Doubles, ...]:
        return (np.concatenate(inputs, axis=self.axis),)

    @property
    def chain_part(self) -> Literal["begin"]:
        return "begin"

    def carried(self, axis: int, source: int, inputs: Types, outputs: Types) -> tuple[int | None, ...]:
        return (None if axis == self.axis else axis,)

    def describe(self) -> str:
        return f"Concat axis {self.axis}"

    def pieces(self, inputs: Types, outputs: Types) -> Sequence[Piece]:
        """A sample at a time, of each input in turn."""
        found, channel = [], 0
        for index, tensor in enumerate(inputs):
            places = in_order(tensor)
            found += [Piece(index, 0, places[n : n + 1], n, channel) for n in range(tensor.shape[0])]
            channel += tensor.shape[1]
        return found

    def range(self, inputs: Sequence[Interval]) -> Interval:
        return hull(*inputs)


def _without_channels(shape: Shape) -> Shape:
    return (*shape[:1], *shape[2:])


@handles("Concat", "all")
def concat(node: OnnxNode, builder: GraphBuilder) -> None:
    """Concat along the channels; along another axis as that of (outer, axis, inner), which moves no element."""
    tensors = [
        builder.tensor(node, index)
        for index in range(len(node.inputs))
        if not (builder.is_constant(node.input(index)) and builder.constant(node, index).size == 0)
    ]
    shapes = [builder.shape_of(tensor) for tensor in tensors]
    if not tensors or "axis" not in node.attributes:
        raise node.malformed("it has no input or no axis")
    rank, axis = len(shapes[0]), node.integer("axis", 1)
    if not -rank <= axis < rank:
        raise node.malformed(f"axis {axis} is outside a tensor of shape {shapes[0]}")
    axis += rank if axis < 0 else 0
    if len({(*shape[:axis], -1, *shape[axis + 1 :]) for shape in shapes}) != 1:
        raise node.malformed(f"tensors of shapes {shapes} differ beside axis {axis}")
    lengths = {builder.length(tensor) for tensor in tensors}
    if len(tensors) == 1:
        builder.emit(node, Reshape(), tensors[0], shape=shapes[0])
    elif any(length is not None and length.axis == axis for length in lengths):
        _concat_lengths(node, builder, tensors, axis)
    elif len(lengths) > 1:
        raise node.unsupported(
            "it joins tensors of which a size depends on data, not all on the same", "give them one size"
        )
    else:
        wholes = [builder.to_bound(node, tensor) for tensor in tensors]
        if axis == 1:
            builder.emit(node, Concat(1), wholes)
        else:
            _concat_views(node, builder, wholes, axis)
        for length in filter(None, lengths):
            builder.set_length(node.output, length)


def _concat_lengths(node: OnnxNode, builder: GraphBuilder, tensors: list[str], axis: int) -> None:
    """Of what stands behind each other the part that holds results, closed up."""
    steps, arithmetic = Steps(node, builder), Arithmetic(node, builder)
    total: Number = 0
    masks = list[str]()
    for tensor in tensors:
        bound, length = builder.shape_of(tensor)[axis], builder.length(tensor)
        if length is not None and length.axis != axis:
            raise node.unsupported(
                "two sizes of its result depend on data", "compute it outside of the network"
            )
        holds = steps.constant(np.ones(bound, dtype=bool))
        if length is not None:
            holds = within_length(node, builder, Length(0, length.tensor), 1, bound)
        masks.append(holds)
        total = arithmetic.add(total, sizes_of(builder, tensor)[axis])
    joined = steps("Concat", *(builder.to_bound(node, tensor) for tensor in tensors), axis=axis)
    closed = steps("Compress", joined, steps("Concat", *masks, axis=0), axis=axis)
    builder.emit(node, Reshape(), builder.to_bound(node, closed), shape=builder.shape_of(closed))
    assert isinstance(total, Quantity)
    builder.set_length(node.output, Length(axis, total.tensor))


def _concat_views(node: OnnxNode, builder: GraphBuilder, tensors: list[str], axis: int) -> None:
    shapes = [builder.shape_of(tensor) for tensor in tensors]
    views = []
    for tensor, shape in zip(tensors, shapes, strict=True):
        view = (math.prod(shape[:axis]), shape[axis], math.prod(shape[axis + 1 :]))
        views.append(builder.emit(node, Reshape(), tensor, step="view", shape=view))
    joined = builder.emit(node, Concat(1), views, step="joined")
    total = sum(shape[axis] for shape in shapes)
    builder.emit(node, Reshape(), joined, shape=(*shapes[0][:axis], total, *shapes[0][axis + 1 :]))
