"""Batch normalisation in its inference form, which passes fold into what stands before it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from codegen.element_type import FLOAT32
from codegen.errors import GraphSpecError
from codegen.onnx_import.registry import handles
from codegen.operator import IMPORTED_ONLY, Arrays, Operator, Types, sole_input
from codegen.operators.normalization import emit_batch_normalization
from codegen.tensor import Array, Doubles, FloatArray, TensorType

if TYPE_CHECKING:
    from codegen.onnx_import.builder import GraphBuilder
    from codegen.onnx_import.node import OnnxNode

ROLES = ("scale", "bias", "mean", "variance")


@dataclass(frozen=True)
class BatchNormalization(Operator):
    """Per-channel affine with weights scale, bias, mean, variance. Imported stage only.

    Fields:
        epsilon: added to the variance before its root is taken
    """

    stages = IMPORTED_ONLY

    epsilon: float

    def infer(self, inputs: Types, weights: Types, declared: Types) -> tuple[TensorType, ...]:
        source = sole_input(self, inputs, weights, 4)
        shapes = [weight.shape for weight in weights]
        if len(source.shape) < 2 or any(shape != (source.shape[1],) for shape in shapes):
            raise GraphSpecError(f"BatchNormalization has input {source.shape} and weights {shapes}")
        return (source,)

    def evaluate(self, inputs: Arrays, weights: Arrays, outputs: Types) -> tuple[Doubles, ...]:
        channel = (-1,) + (1,) * (len(outputs[0].shape) - 2)
        scale, bias, mean, variance = (weight.reshape(channel) for weight in weights)
        return (np.asarray((inputs[0] - mean) * (scale / np.sqrt(variance + self.epsilon)) + bias),)

    def carried(self, axis: int, source: int, inputs: Types, outputs: Types) -> tuple[int | None, ...]:
        return (None if axis == 1 else axis,)


def affine_of(op: BatchNormalization, weights: tuple[Array, ...]) -> tuple[Doubles, Doubles]:
    """Factor and offset per channel, in float64."""
    scale, bias, mean, variance = (np.asarray(value, dtype=np.float64) for value in weights)
    factor = scale / np.sqrt(variance + op.epsilon)
    return factor, bias - mean * factor


@handles("BatchNormalization", "all; with constant statistics folded into what stands before it")
def batch_normalization(node: OnnxNode, builder: GraphBuilder) -> None:
    """Before operator set 14 the extra outputs tell training from inference, afterwards an attribute does."""
    training = node.flag("training_mode") if node.opset >= 14 else any(node.outputs[1:])
    known = all(builder.is_constant(node.input(index)) for index in range(1, 5))
    if training or not known or {builder.type(node, index).dtype for index in range(5)} != {FLOAT32.name}:
        emit_batch_normalization(node, builder)
        return
    weights = {role: builder.weight(node, index + 1) for index, role in enumerate(ROLES)}
    epsilon = node.real("epsilon", 1e-5)
    if not np.all(weights["variance"].astype(np.float64) + epsilon > 0):
        raise node.unsupported(
            "a variance plus epsilon is not above 0, so that it gives no numbers",
            "export the model with its trained statistics",
        )
    builder.emit(node, BatchNormalization(epsilon), builder.activation(node), weights)


def emit_affine(
    node: OnnxNode, builder: GraphBuilder, tensor: str, scale: FloatArray, offset: FloatArray
) -> None:
    """`x * scale + offset` for each channel: the bias behind a MatMul, or the scaling of an input image, takes the
    same way as batch normalisation.
    """
    channels = builder.shape_of(tensor)[1]
    values = (scale, offset, np.zeros(1, np.float32), np.ones(1, np.float32))
    weights = {
        role: np.array(np.broadcast_to(value, (channels,)), dtype=np.float32)
        for role, value in zip(ROLES, values, strict=True)
    }
    builder.emit(node, BatchNormalization(0.0), tensor, weights)
