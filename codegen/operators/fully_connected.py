"""A constant matrix times vectors: fully connected layers, Gemm and MatMul with one constant operand."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from codegen.errors import GraphSpecError
from codegen.expression import RESULT, Expression
from codegen.interval import ANYTHING, Interval
from codegen.onnx_import.registry import handles
from codegen.operator import Arrays, Epilogued, Types
from codegen.operators.conv2d import scaled_channels
from codegen.operators.reshape import Reshape
from codegen.tensor import Array, Doubles, FloatArray, TensorType

if TYPE_CHECKING:
    from codegen.onnx_import.builder import GraphBuilder
    from codegen.onnx_import.node import OnnxNode


@dataclass(frozen=True)
class FullyConnected(Epilogued):
    """`y = x @ weights.T + bias`; x (batch, in), weights (out, in), bias (out)."""

    epilogue: Expression = RESULT

    def infer(self, inputs: Types, weights: Types, declared: Types) -> tuple[TensorType, ...]:
        source = self.sole(inputs, weights, 2)
        shape, matrix, bias = source.shape, weights[0].shape, weights[1].shape
        if len(shape) != 2 or len(matrix) != 2 or matrix[1] != shape[1] or bias != matrix[:1]:
            raise GraphSpecError(f"FullyConnected has input {shape}, weights {matrix} and bias {bias}")
        return self.result(inputs, replace(source, shape=(shape[0], matrix[0])))

    def evaluate(self, inputs: Arrays, weights: Arrays, outputs: Types) -> tuple[Doubles, ...]:
        matrix, bias = weights
        return self.finish(inputs[0] @ matrix.T + bias, inputs)

    def macs(self, inputs: Types, weights: Types, outputs: Types) -> int:
        return outputs[0].elements * (weights[0].elements // weights[0].shape[0])

    def scaled(
        self, weights: Sequence[Array], factor: Doubles, offset: Doubles
    ) -> tuple[Doubles, ...] | None:
        return scaled_channels(weights, factor, offset) if self.epilogue == RESULT else None

    def range(self, inputs: Sequence[Interval]) -> Interval:
        return self.epilogue.interval((ANYTHING, *inputs[1:]))


@handles("Gemm", "one operand constant; transA, transB, alpha, beta, optional constant C per output")
def gemm(node: OnnxNode, builder: GraphBuilder) -> None:
    """`alpha * op(A) @ op(B) + beta * C`, the factors folded into weights and bias."""
    transposed = (node.flag("transA"), node.flag("transB"))
    constant = 1 if builder.is_constant(node.input(1)) else 0
    swapped = constant == 0  # a constant left operand is the constant right one of the transposed product
    matrix = builder.weight(node, constant)
    if matrix.ndim != 2:
        raise node.malformed(f"input {constant} has shape {matrix.shape}, not that of a matrix")
    tensor = builder.activation(node, 1 - constant)
    if len(builder.shape_of(tensor)) != 2:
        raise node.malformed(
            f"input {1 - constant} has shape {builder.shape_of(tensor)}, not that of a matrix"
        )
    weights = matrix.T if transposed[constant] == swapped else matrix
    tensor = _oriented(node, builder, tensor, transposed[1 - constant] != swapped)
    bias = _gemm_bias(node, builder, builder.shape_of(tensor)[0], weights.shape[0], swapped)
    _emit(node, builder, tensor, _scaled(weights, node.real("alpha", 1.0)), bias, swapped)


@handles("MatMul", "one operand a constant matrix")
def matmul(node: OnnxNode, builder: GraphBuilder) -> None:
    """MatMul to FullyConnected; leading dimensions of the activation are rows."""
    constant = 1 if builder.is_constant(node.input(1)) else 0
    matrix = builder.weight(node, constant)
    shape = builder.shape(node, 1 - constant)
    if matrix.ndim != 2 or len(shape) < 2 or (constant == 0 and len(shape) != 2):
        raise node.unsupported(
            f"it multiplies a tensor of shape {shape} and a constant of shape {matrix.shape}",
            "supported are a constant matrix on the right, or on the left of a matrix",
        )
    tensor = builder.activation(node, 1 - constant)
    if constant == 0:
        tensor = _oriented(node, builder, tensor, transpose=True)
        bias = np.zeros(matrix.shape[0], dtype=np.float32)
        _emit(node, builder, tensor, matrix, bias, transposed_result=True)
        return
    bias = np.zeros(matrix.shape[1], dtype=np.float32)
    if len(shape) == 2:
        _emit(node, builder, tensor, matrix.T, bias)
        return
    rows = (math.prod(shape[:-1]), shape[-1])
    tensor = builder.emit(node, Reshape(), tensor, step="rows", shape=rows)
    tensor = builder.emit(node, FullyConnected(), tensor, _weights(matrix.T, bias), step="product")
    builder.emit(node, Reshape(), tensor, shape=(*shape[:-1], matrix.shape[1]))


def _oriented(node: OnnxNode, builder: GraphBuilder, tensor: str, transpose: bool) -> str:
    """The activation, transposed if asked for: a matter of its shape alone where it is a vector."""
    shape = builder.shape_of(tensor)
    if not transpose:
        return tensor
    if min(shape) != 1:
        raise node.unsupported(
            f"it needs the transpose of {tensor!r} of shape {shape}",
            "only a vector can be transposed: swap the operands",
        )
    return builder.emit(node, Reshape(), tensor, step="transpose", shape=(shape[1], shape[0]))


def _emit(
    node: OnnxNode,
    builder: GraphBuilder,
    tensor: str,
    weights: FloatArray,
    bias: FloatArray,
    transposed_result: bool = False,
) -> None:
    if not transposed_result:
        builder.emit(node, FullyConnected(), tensor, _weights(weights, bias))
        return
    result = builder.emit(node, FullyConnected(), tensor, _weights(weights, bias), step="product")
    shape = builder.shape_of(result)
    if min(shape) != 1:
        raise node.unsupported(
            f"its constant left operand gives a result of shape {shape[::-1]}",
            "a constant left operand is supported for vectors only: swap the operands",
        )
    builder.emit(node, Reshape(), result, shape=(shape[1], shape[0]))


def _weights(weights: FloatArray, bias: FloatArray) -> dict[str, FloatArray]:
    return {"weight": weights, "bias": bias}


def _gemm_bias(
    node: OnnxNode, builder: GraphBuilder, rows: int, outputs: int, transposed_result: bool
) -> FloatArray:
    """`beta * C` as one number per output; C broadcasts to the result as in numpy."""
    if not node.has_input(2):
        return np.zeros(outputs, dtype=np.float32)
    value = _scaled(builder.weight(node, 2), node.real("beta", 1.0))
    result = (outputs, rows) if transposed_result else (rows, outputs)
    try:
        full = np.broadcast_to(value, result)
    except ValueError as error:
        raise node.malformed(f"C of shape {value.shape} does not broadcast to {result}") from error
    per_row = full.T if transposed_result else full
    if np.any(per_row != per_row[:1]):
        raise node.unsupported(
            f"C of shape {value.shape} differs from row to row", "only one bias per output is supported"
        )
    return np.array(per_row[0], dtype=np.float32)


def _scaled(value: FloatArray, factor: float) -> FloatArray:
    if factor == 1.0:
        return value
    return (value.astype(np.float64) * factor).astype(np.float32)
