"""Add, Sub, Mul and Div with a constant per channel: an affine map, imported as a normalisation.

So the bias behind a MatMul, or the scaling of an input image, takes the same way as batch normalisation. The
sum of two activations is an operator of its own.
"""

from __future__ import annotations

import numpy as np

from codegen.graph import BatchNormalization
from codegen.onnx_import.builder import GraphBuilder
from codegen.onnx_import.joining import emit_sum
from codegen.onnx_import.node import OnnxNode
from codegen.onnx_import.registry import handles
from codegen.tensor import FloatArray

FORM = "of an activation and a constant that is one number or one per channel"


@handles("Add", f"of two activations of equal shape, or {FORM}")
def add(node: OnnxNode, builder: GraphBuilder) -> None:
    """x + c, or the sum of two activations."""
    if not any(builder.is_constant(node.input(index)) for index in (0, 1)):
        emit_sum(node, builder)
        return
    activation, constant = _operands(node, builder)
    _emit(node, builder, activation, 1.0, constant)


@handles("Sub", FORM)
def sub(node: OnnxNode, builder: GraphBuilder) -> None:
    """x - c, or c - x."""
    activation, constant = _operands(node, builder)
    if activation == 0:
        _emit(node, builder, activation, 1.0, -constant)
    else:
        _emit(node, builder, activation, -1.0, constant)


@handles("Mul", FORM)
def mul(node: OnnxNode, builder: GraphBuilder) -> None:
    """x * c."""
    activation, constant = _operands(node, builder)
    _emit(node, builder, activation, constant, 0.0)


@handles("Div", "of an activation by a constant that is one number or one per channel")
def div(node: OnnxNode, builder: GraphBuilder) -> None:
    """x / c."""
    activation, constant = _operands(node, builder)
    if activation == 1 or not np.all(constant):
        raise node.unsupported("it divides by an activation or by 0", f"Div is supported {FORM}")
    _emit(node, builder, activation, np.float32(1.0) / constant, 0.0)


def _operands(node: OnnxNode, builder: GraphBuilder) -> tuple[int, FloatArray]:
    """Which input is the activation, and the other one's value per channel."""
    constant = next((index for index in (0, 1) if builder.is_constant(node.input(index))), None)
    if constant is None:
        builder.activation(node, 0), builder.activation(node, 1)
        raise node.unsupported("both operands are activations", f"{node.op_type} is supported {FORM}")
    activation = 1 - constant
    shape = builder.shape(node, activation)
    value = builder.weight(node, constant)
    aligned = (1,) * (len(shape) - value.ndim) + value.shape
    varying = {axis for axis, size in enumerate(aligned) if size != 1}
    if len(shape) < 2 or len(aligned) != len(shape) or not varying <= {1} or aligned[1] not in (1, shape[1]):
        raise node.unsupported(
            f"its constant of shape {value.shape} is not one number per channel of a tensor of shape {shape}",
            f"{node.op_type} is supported {FORM}",
        )
    return activation, np.broadcast_to(value.reshape(-1), (shape[1],))


def _emit(
    node: OnnxNode,
    builder: GraphBuilder,
    activation: int,
    scale: FloatArray | float,
    bias: FloatArray | float,
) -> None:
    tensor = builder.activation(node, activation)
    channels = builder.shape_of(tensor)[1]
    values = {"scale": scale, "bias": bias, "mean": 0.0, "variance": 1.0}
    weights = {
        role: np.array(np.broadcast_to(np.float32(value), (channels,)), dtype=np.float32)
        for role, value in values.items()
    }
    builder.emit(node, BatchNormalization(0.0), tensor, weights)
