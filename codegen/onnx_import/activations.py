"""Relu, Clip, and Min and Max with a constant."""

from __future__ import annotations

import math

import numpy as np

from codegen.graph import RELU, Activation, Clamp, Reshape
from codegen.onnx_import.builder import GraphBuilder, Shape
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
    _emit(node, builder, tensor, Activation(low, high))


@handles("Min", "of an activation and constants that are one number each")
def minimum(node: OnnxNode, builder: GraphBuilder) -> None:
    """min(x, c) to a Clamp up to c."""
    tensor, values = _bounds(node, builder)
    _emit(node, builder, tensor, Activation(high=min(values, default=math.inf)))


@handles("Max", "of an activation and constants that are one number each")
def maximum(node: OnnxNode, builder: GraphBuilder) -> None:
    """max(x, c) to a Clamp from c."""
    tensor, values = _bounds(node, builder)
    _emit(node, builder, tensor, Activation(low=max(values, default=-math.inf)))


def _bounds(node: OnnxNode, builder: GraphBuilder) -> tuple[str, list[float]]:
    """The only activation among the inputs, and the numbers that the constants among them hold."""
    indices = range(len(node.inputs))
    computed = [index for index in indices if not builder.is_constant(node.input(index))]
    if len(computed) != 1:
        for index in computed:
            builder.activation(node, index)
        raise node.unsupported(
            f"{len(computed)} of its operands are activations",
            "one of them with constant bounds is supported",
        )
    shape = builder.shape(node, computed[0])
    return node.input(computed[0]), [_bound(node, builder, i, shape) for i in indices if i not in computed]


def _bound(node: OnnxNode, builder: GraphBuilder, index: int, shape: Shape) -> float:
    value = builder.weight(node, index)
    padded = (1,) * (len(shape) - value.ndim) + value.shape
    fits = len(padded) == len(shape) and all(n in (1, m) for n, m in zip(padded, shape, strict=True))
    if not fits or np.any(value != value.reshape(-1)[0]):
        raise node.unsupported(
            f"its constant of shape {value.shape} is not one number for all of a tensor of shape {shape}",
            "only a bound that is one number is supported",
        )
    return float(value.reshape(-1)[0])


def _emit(node: OnnxNode, builder: GraphBuilder, tensor: str, activation: Activation) -> None:
    """A Clamp to the ends that no float32 is beyond; without one, a Reshape to the same shape."""
    low, high = activation.low, activation.high
    activation = Activation(
        low if low is not None and low > -LARGEST else None,
        high if high is not None and high < LARGEST else None,
    )
    if activation.is_identity:
        builder.emit(node, Reshape(), tensor, shape=builder.shape_of(tensor))
    else:
        builder.emit(node, Clamp(activation), tensor)


def _end(node: OnnxNode, builder: GraphBuilder, index: int, default: float) -> float:
    if not node.has_input(index):
        return default
    value = builder.weight(node, index)
    if value.size != 1 or math.isnan(float(value.reshape(-1)[0])):
        raise node.malformed(f"input {index} is no single number")
    return float(value.reshape(-1)[0])
