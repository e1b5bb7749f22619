"""A constant matrix times vectors: fully connected layers, Gemm and MatMul with one constant operand."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from codegen.element_type import FLOAT32
from codegen.errors import GraphSpecError
from codegen.expression import RESULT, Expression
from codegen.interval import ANYTHING, Interval
from codegen.onnx_import.registry import handles
from codegen.onnx_import.steps import Steps
from codegen.operator import Arrays, Epilogued, Types
from codegen.operators.contraction import emit_product
from codegen.operators.conv2d import scaled_channels
from codegen.operators.integer_layers import emit_product as integer_product
from codegen.operators.integer_layers import real_layer
from codegen.operators.reshape import Reshape
from codegen.tensor import Array, Doubles, FloatArray, TensorType

if TYPE_CHECKING:
    from codegen.onnx_import.builder import GraphBuilder
    from codegen.onnx_import.node import OnnxNode


@dataclass(frozen=True)
class FullyConnected(Epilogued):
    """`y = x @ weights.T + bias`; x (batch, in), weights (out, in), bias (out).

    Fields:
        epilogue: what is done to each element of the result, which is operand 0; operand 1 is a further input
    """

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

    @property
    def skips_zeros(self) -> bool:
        return True

    def carried(self, axis: int, source: int, inputs: Types, outputs: Types) -> tuple[int | None, ...]:
        return (axis if axis == source == 0 else None,)


@handles("Gemm", "all; by a constant matrix as FullyConnected")
def gemm(node: OnnxNode, builder: GraphBuilder) -> None:
    """`alpha * op(A) @ op(B) + beta * C`, the factors folded into weights and bias where these are constant."""
    transposed = (node.flag("transA"), node.flag("transB"))
    integers = real_layer(node, builder, outputs_last=not transposed[1])
    if integers is not None and not transposed[0] and {node.real(n, 1.0) for n in ("alpha", "beta")} == {1.0}:
        integer_product(node, builder, integers)
        return
    constant = 1 if builder.is_constant(node.input(1)) else 0
    if not _is_layer(node, builder, constant, transposed):
        _emit_products(node, builder, transposed)
        return
    swapped = constant == 0  # a constant left operand is the constant right one of the transposed product
    matrix = builder.weight(node, constant)
    tensor = builder.activation(node, 1 - constant)
    weights = matrix.T if transposed[constant] == swapped else matrix
    tensor = _oriented(node, builder, tensor, transposed[1 - constant] != swapped)
    bias = _gemm_bias(node, builder, builder.shape_of(tensor)[0], weights.shape[0], swapped)
    _emit(node, builder, tensor, _scaled(weights, node.real("alpha", 1.0)), bias, swapped)


def _is_layer(node: OnnxNode, builder: GraphBuilder, constant: int, transposed: tuple[bool, bool]) -> bool:
    """Whether it is rows times a constant matrix plus a constant for each column, in float32, with nothing to transpose
    but vectors.
    """
    names = [node.input(constant), *([node.input(2)] if node.has_input(2) else [])]
    if not all(map(builder.is_constant, names)) or builder.is_constant(node.input(1 - constant)):
        return False
    matrix, rows = builder.type(node, constant), builder.type(node, 1 - constant)
    if {matrix.dtype, rows.dtype} != {FLOAT32.name} or (len(matrix.shape), len(rows.shape)) != (2, 2):
        return False
    swapped = constant == 0
    if transposed[1 - constant] != swapped and min(rows.shape) != 1:
        return False
    count = rows.shape[1] if transposed[1 - constant] != swapped else rows.shape[0]
    outputs = matrix.shape[1 if transposed[constant] == swapped else 0]
    if swapped and min(count, outputs) != 1:
        return False
    bias = np.atleast_2d(builder.constant(node, 2)) if node.has_input(2) else np.zeros((1, 1))
    along = 1 if swapped else 0
    return bias.ndim > 2 or bool(np.all(bias == bias.take([0], axis=along)))


def _emit_products(node: OnnxNode, builder: GraphBuilder, transposed: tuple[bool, bool]) -> None:
    shapes = [builder.type(node, index).shape for index in (0, 1)]
    if [len(shape) for shape in shapes] != [2, 2]:
        raise node.malformed(f"it multiplies tensors of shapes {shapes[0]} and {shapes[1]}, no matrices")
    steps = Steps(node, builder)
    first, second = (
        steps("Transpose", name, perm=[1, 0]) if turned else name
        for name, turned in zip((node.input(0), node.input(1)), transposed, strict=True)
    )
    dtype = builder.type(node).dtype
    product = _times(steps, steps("MatMul", first, second), node.real("alpha", 1.0), dtype)
    if not node.has_input(2):
        steps("Identity", product, to=node.output)
        return
    steps("Add", product, _times(steps, node.input(2), node.real("beta", 1.0), dtype), to=node.output)


def _times(steps: Steps, tensor: str, factor: float, dtype: str) -> str:
    return tensor if factor == 1.0 else steps("Mul", tensor, steps.constant(factor, dtype))


@handles("MatMul", "all; by a constant matrix as FullyConnected")
def matmul(node: OnnxNode, builder: GraphBuilder) -> None:
    """MatMul to FullyConnected where one operand is a constant matrix; leading dimensions of the other are rows. All
    others as Contractions.
    """
    integers = real_layer(node, builder, outputs_last=True)
    if integers is not None:
        integer_product(node, builder, integers)
        return
    constant = 1 if builder.is_constant(node.input(1)) else 0
    if not _is_vectorial(node, builder, constant):
        emit_product(node, builder, builder.tensor(node, 0), builder.tensor(node, 1))
        return
    matrix = builder.weight(node, constant)
    shape = builder.shape(node, 1 - constant)
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


def _is_vectorial(node: OnnxNode, builder: GraphBuilder, constant: int) -> bool:
    """Whether it is the product of rows and a constant matrix, in float32; one on the left is that of a vector, and
    gives one, so that transposing either is a matter of its shape.
    """
    if not builder.is_constant(node.input(constant)) or builder.is_constant(node.input(1 - constant)):
        return False
    matrix, rows = builder.type(node, constant), builder.type(node, 1 - constant)
    if (matrix.dtype, rows.dtype) != (FLOAT32.name, FLOAT32.name) or len(matrix.shape) != 2:
        return False
    if constant == 1:
        return len(rows.shape) >= 2
    return len(rows.shape) == 2 and min(rows.shape) == 1 == min(matrix.shape[0], rows.shape[1])


def _oriented(node: OnnxNode, builder: GraphBuilder, tensor: str, transpose: bool) -> str:
    """The activation, transposed if asked for: a matter of its shape alone where it is a vector."""
    shape = builder.shape_of(tensor)
    if not transpose:
        return tensor
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
    return np.array(per_row[0], dtype=np.float32)


def _scaled(value: FloatArray, factor: float) -> FloatArray:
    if factor == 1.0:
        return value
    return (value.astype(np.float64) * factor).astype(np.float32)
