"""A reference evaluator in float64: what every candidate's and every program's output is compared with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import singledispatch

import numpy as np
from numpy.typing import NDArray

from codegen.errors import GraphSpecError
from codegen.graph import (
    Activation,
    Add,
    BatchNormalization,
    Chain,
    Clamp,
    Concat,
    Conv2d,
    ConvTranspose2d,
    FullyConnected,
    Graph,
    LayerSpec,
    Operator,
    Pad2d,
    Pool2d,
    Relayout,
    Reshape,
    Softmax,
    Transpose,
)
from codegen.tensor import Array, TensorType

Doubles = NDArray[np.float64]
Arrays = Sequence[Doubles]


def evaluate(graph: Graph, inputs: Mapping[str, Array]) -> dict[str, Doubles]:
    """The outputs of a graph by name, computed in float64 from inputs by name.

    Raises GraphSpecError where an input is missing or has another shape.
    """
    values = evaluate_all(graph, inputs)
    return {name: values[name] for name in graph.outputs}


def evaluate_all(graph: Graph, inputs: Mapping[str, Array]) -> dict[str, Doubles]:
    """Every activation of a graph by name, inputs included; errors as for `evaluate`."""
    values: dict[str, Doubles] = {}
    for name in graph.inputs:
        if name not in inputs:
            raise GraphSpecError(f"input {name!r} of graph {graph.name!r} has no value")
        values[name] = np.asarray(inputs[name], dtype=np.float64)
        if values[name].shape != graph.types[name].shape:
            raise GraphSpecError(
                f"input {name!r} has shape {values[name].shape}, not {graph.types[name].shape}"
            )
    for node in graph.nodes:
        arguments = [values[name] for name in node.inputs]
        values[node.output] = evaluate_layer(LayerSpec.of(graph, node), arguments, graph.weights_of(node))
    return values


def evaluate_layer(spec: LayerSpec, inputs: Sequence[Array], weights: Sequence[Array]) -> Doubles:
    """The output of one layer in float64; shapes as the spec says."""
    arguments = [np.asarray(value, dtype=np.float64) for value in inputs]
    constants = [np.asarray(value, dtype=np.float64) for value in weights]
    return compute(spec.op, arguments, constants, spec.output)


@singledispatch
def compute(op: Operator, inputs: Arrays, weights: Arrays, output: TensorType) -> Doubles:
    """What one operator computes. A new operator registers its function here."""
    raise GraphSpecError(f"no reference for operator {type(op).__name__}; register one in codegen.reference")


@compute.register
def _conv2d(op: Conv2d, inputs: Arrays, weights: Arrays, output: TensorType) -> Doubles:
    kernel, bias = weights
    batch, channels, height, width = output.shape
    depth = kernel.shape[1]
    padded = _padded(inputs[0], op.pads, 0.0)
    grouped_kernel = kernel.reshape(op.groups, channels // op.groups, depth, *op.kernel)
    total = np.zeros((batch, op.groups, channels // op.groups, height * width))
    for row, column, tap in _taps(padded, op, output):
        pixels = tap.reshape(batch, op.groups, depth, height * width)
        matrix = grouped_kernel[..., row, column]
        total += matrix * pixels if depth == 1 else matrix @ pixels
    result = total.reshape(output.shape) + bias[:, None, None]
    return clamp(result, op.activation)


@compute.register
def _conv_transpose2d(op: ConvTranspose2d, inputs: Arrays, weights: Arrays, output: TensorType) -> Doubles:
    kernel, bias = weights
    batch, channels, height, width = output.shape
    rows, columns = inputs[0].shape[2:]
    pixels = inputs[0].reshape(batch, op.groups, -1, rows * columns)
    matrix = kernel.reshape(op.groups, channels // op.groups, -1, *op.kernel)
    whole = np.zeros((batch, channels, height + op.pads[0] + op.pads[2], width + op.pads[1] + op.pads[3]))
    for row in range(op.kernel[0]):
        for column in range(op.kernel[1]):
            products = matrix[..., row, column] @ pixels
            top, left = row * op.dilations[0], column * op.dilations[1]
            bottom, right = top + (rows - 1) * op.strides[0] + 1, left + (columns - 1) * op.strides[1] + 1
            met = whole[:, :, top : bottom : op.strides[0], left : right : op.strides[1]]
            met += products.reshape(met.shape)
    result = whole[:, :, op.pads[0] :, op.pads[1] :][:, :, :height, :width] + bias[:, None, None]
    return clamp(result, op.activation)


@compute.register
def _pool2d(op: Pool2d, inputs: Arrays, weights: Arrays, output: TensorType) -> Doubles:
    if op.kind == "max":
        result = np.full(output.shape, -np.inf)
        for _, _, tap in _taps(_padded(inputs[0], op.pads, -np.inf), op, output):
            np.maximum(result, tap, out=result)
        return clamp(result, op.activation)
    total, count = np.zeros(output.shape), np.zeros(output.shape[2:])
    ones = _padded(np.ones((1, 1, *inputs[0].shape[2:])), op.pads, float(op.include_padding))
    for _, _, tap in _taps(_padded(inputs[0], op.pads, 0.0), op, output):
        total += tap
    for _, _, tap in _taps(ones, op, output):
        count += tap[0, 0]
    return clamp(total / count, op.activation)


@compute.register
def _fully_connected(op: FullyConnected, inputs: Arrays, weights: Arrays, output: TensorType) -> Doubles:
    matrix, bias = weights
    return clamp(inputs[0] @ matrix.T + bias, op.activation)


@compute.register
def _add(op: Add, inputs: Arrays, weights: Arrays, output: TensorType) -> Doubles:
    return clamp(inputs[0] + inputs[1], op.activation)


@compute.register
def _concat(op: Concat, inputs: Arrays, weights: Arrays, output: TensorType) -> Doubles:
    return np.concatenate(inputs, axis=op.axis)


@compute.register
def _pad2d(op: Pad2d, inputs: Arrays, weights: Arrays, output: TensorType) -> Doubles:
    return _padded(inputs[0], op.pads, 0.0)


@compute.register
def _transpose(op: Transpose, inputs: Arrays, weights: Arrays, output: TensorType) -> Doubles:
    return np.ascontiguousarray(inputs[0].transpose(op.permutation))


@compute.register
def _batch_normalization(
    op: BatchNormalization, inputs: Arrays, weights: Arrays, output: TensorType
) -> Doubles:
    channel = (-1,) + (1,) * (len(output.shape) - 2)
    scale, bias, mean, variance = (weight.reshape(channel) for weight in weights)
    return np.asarray((inputs[0] - mean) * (scale / np.sqrt(variance + op.epsilon)) + bias)


@compute.register
def _clamp(op: Clamp, inputs: Arrays, weights: Arrays, output: TensorType) -> Doubles:
    return clamp(inputs[0], op.activation)


@compute.register
def _softmax(op: Softmax, inputs: Arrays, weights: Arrays, output: TensorType) -> Doubles:
    exponentials = np.exp(inputs[0] - inputs[0].max(axis=op.axis, keepdims=True))
    return np.asarray(exponentials / exponentials.sum(axis=op.axis, keepdims=True))


@compute.register
def _reshape(op: Reshape, inputs: Arrays, weights: Arrays, output: TensorType) -> Doubles:
    return inputs[0].reshape(output.shape)


@compute.register
def _relayout(op: Relayout, inputs: Arrays, weights: Arrays, output: TensorType) -> Doubles:
    return inputs[0]


@compute.register
def _chain(op: Chain, inputs: Arrays, weights: Arrays, output: TensorType) -> Doubles:
    left, result = list(weights), inputs[0]
    for member, sources in zip(op.members, op.sources, strict=True):
        own, left = left[: len(member.weights)], left[len(member.weights) :]
        arguments = [result if source < 0 else inputs[source] for source in sources]
        result = compute(member.op, arguments, own, member.output)
    return result


def clamp(value: Doubles, activation: Activation) -> Doubles:
    """`min(max(value, low), high)`, in this order: where the ends cross, `high` wins, as in ONNX."""
    if activation.low is not None:
        value = np.maximum(value, activation.low)
    if activation.high is not None:
        value = np.minimum(value, activation.high)
    return value


def _padded(value: Doubles, pads: tuple[int, int, int, int], fill: float) -> Doubles:
    top, left, bottom, right = pads
    return np.pad(value, ((0, 0), (0, 0), (top, bottom), (left, right)), constant_values=fill)


def _taps(padded: Doubles, op: Conv2d | Pool2d, output: TensorType) -> Iterator[tuple[int, int, Doubles]]:
    """For each tap of the kernel its row, its column and the strided view of the inputs it meets."""
    height, width = output.shape[2:]
    for row in range(op.kernel[0]):
        for column in range(op.kernel[1]):
            top, left = row * op.dilations[0], column * op.dilations[1]
            bottom, right = top + (height - 1) * op.strides[0] + 1, left + (width - 1) * op.strides[1] + 1
            yield row, column, padded[:, :, top : bottom : op.strides[0], left : right : op.strides[1]]
