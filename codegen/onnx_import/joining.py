"""Operators that bring branches together: Concat, Sum, and Add of two activations."""

from __future__ import annotations

import math

from codegen.graph import Add, Concat, Reshape
from codegen.onnx_import.builder import GraphBuilder
from codegen.onnx_import.node import OnnxNode
from codegen.onnx_import.registry import handles


@handles("Concat", "of activations, along any axis")
def concat(node: OnnxNode, builder: GraphBuilder) -> None:
    """Concat along the channels; along another axis as that of (outer, axis, inner), which moves no element."""
    tensors = [builder.activation(node, index) for index in range(len(node.inputs))]
    shapes = [builder.shape_of(tensor) for tensor in tensors]
    if not tensors or "axis" not in node.attributes:
        raise node.malformed("it has no input or no axis")
    rank, axis = len(shapes[0]), node.integer("axis", 1)
    if not -rank <= axis < rank:
        raise node.malformed(f"axis {axis} is outside a tensor of shape {shapes[0]}")
    axis += rank if axis < 0 else 0
    if len({(*shape[:axis], -1, *shape[axis + 1 :]) for shape in shapes}) != 1:
        raise node.malformed(f"tensors of shapes {shapes} differ beside axis {axis}")
    if len(tensors) == 1:
        builder.emit(node, Reshape(), tensors[0], shape=shapes[0])
    elif axis == 1:
        builder.emit(node, Concat(1), tensors)
    else:
        _concat_views(node, builder, tensors, axis)


@handles("Sum", "of activations of equal shape")
def sum_(node: OnnxNode, builder: GraphBuilder) -> None:
    """Sum to Adds, one after the other."""
    emit_sum(node, builder)


def emit_sum(node: OnnxNode, builder: GraphBuilder) -> None:
    """The sum of all inputs; raises UnsupportedOperatorError where one is constant or their shapes differ."""
    tensors = [builder.activation(node, index) for index in range(len(node.inputs))]
    shapes = [builder.shape_of(tensor) for tensor in tensors]
    if not tensors:
        raise node.malformed("it has no input")
    if len(set(shapes)) != 1:
        raise node.unsupported(
            f"it broadcasts activations of shapes {', '.join(map(str, shapes))}",
            "only activations of equal shape can be added",
        )
    if len(tensors) == 1:
        builder.emit(node, Reshape(), tensors[0], shape=shapes[0])
        return
    total = tensors[0]
    for tensor in tensors[1:-1]:
        total = builder.emit(node, Add(), (total, tensor), step="sum")
    builder.emit(node, Add(), (total, tensors[-1]))


def _concat_views(node: OnnxNode, builder: GraphBuilder, tensors: list[str], axis: int) -> None:
    shapes = [builder.shape_of(tensor) for tensor in tensors]
    views = []
    for tensor, shape in zip(tensors, shapes, strict=True):
        view = (math.prod(shape[:axis]), shape[axis], math.prod(shape[axis + 1 :]))
        views.append(builder.emit(node, Reshape(), tensor, step="view", shape=view))
    joined = builder.emit(node, Concat(1), views, step="joined")
    total = sum(shape[axis] for shape in shapes)
    builder.emit(node, Reshape(), joined, shape=(*shapes[0][:axis], total, *shapes[0][axis + 1 :]))
