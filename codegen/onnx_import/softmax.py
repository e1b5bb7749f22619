"""Softmax, whose meaning changed in operator set 13."""

from __future__ import annotations

import math

from codegen.graph import Reshape, Softmax
from codegen.onnx_import.builder import GraphBuilder
from codegen.onnx_import.node import OnnxNode
from codegen.onnx_import.registry import handles


@handles("Softmax", "all")
def softmax(node: OnnxNode, builder: GraphBuilder) -> None:
    """Over one axis since operator set 13; before, over all axes from the given one on, as a matrix."""
    shape = builder.shape(node)
    over_one_axis = node.opset >= 13
    axis = node.integer("axis", -1 if over_one_axis else 1)
    if not -len(shape) <= axis < len(shape):
        raise node.malformed(f"axis {axis} is outside a tensor of shape {shape}")
    axis += len(shape) if axis < 0 else 0
    tensor = builder.activation(node)
    if over_one_axis or math.prod(shape[axis + 1 :]) == 1:
        builder.emit(node, Softmax(axis), tensor)
        return
    matrix = (math.prod(shape[:axis]), math.prod(shape[axis:]))
    tensor = builder.emit(node, Reshape(), tensor, step="matrix", shape=matrix)
    tensor = builder.emit(node, Softmax(1), tensor, step="softmax")
    builder.emit(node, Reshape(), tensor, shape=shape)
