"""Relu and Clip."""

from __future__ import annotations

import math

import numpy as np

from codegen.graph import RELU, Activation, Clamp, Reshape
from codegen.onnx_import.builder import GraphBuilder
from codegen.onnx_import.node import OnnxNode
from codegen.onnx_import.registry import handles

LARGEST = float(np.finfo(np.float32).max)


@handles("Relu", "all")
def relu(node: OnnxNode, builder: GraphBuilder) -> None:
    """Relu to a Clamp from 0."""
    builder.emit(node, Clamp(RELU), builder.activation(node))


@handles("Clip", "ends by attribute or by constant input, either may be missing")
def clip(node: OnnxNode, builder: GraphBuilder) -> None:
    """Clip to a Clamp; without an end it does nothing and becomes a Reshape to the same shape."""
    tensor = builder.activation(node)
    if node.opset < 11:
        low, high = node.real("min", -LARGEST), node.real("max", LARGEST)
    else:
        low, high = _end(node, builder, 1, -LARGEST), _end(node, builder, 2, LARGEST)
    activation = Activation(low if low > -LARGEST else None, high if high < LARGEST else None)
    if activation.is_identity:
        builder.emit(node, Reshape(), tensor, shape=builder.shape(node))
    else:
        builder.emit(node, Clamp(activation), tensor)


def _end(node: OnnxNode, builder: GraphBuilder, index: int, default: float) -> float:
    if not node.has_input(index):
        return default
    value = builder.weight(node, index)
    if value.size != 1 or math.isnan(float(value.reshape(-1)[0])):
        raise node.malformed(f"input {index} is no single number")
    return float(value.reshape(-1)[0])
