"""Normalisations said by other operators: batch normalisation whose statistics are computed, instance normalisation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from codegen.onnx_import.registry import handles
from codegen.onnx_import.steps import Steps

if TYPE_CHECKING:
    from codegen.onnx_import.builder import GraphBuilder
    from codegen.onnx_import.node import OnnxNode


def emit_batch_normalization(node: OnnxNode, builder: GraphBuilder) -> None:
    """BatchNormalization of any element type with statistics that are given, or in training mode its own."""
    steps, type_ = Steps(node, builder), builder.type(node)
    rank = len(type_.shape)
    x, scale, bias, mean, variance = (node.input(index) for index in range(5))
    training = node.flag("training_mode") if node.opset >= 14 else any(node.outputs[1:])
    if training:
        axes = steps.integers(*(axis for axis in range(rank) if axis != 1))
        own = steps("ReduceMean", x, axes, keepdims=1)
        centred = steps("Sub", x, own)
        spread = steps("ReduceMean", steps("Mul", centred, centred), axes, keepdims=1)
        _running(node, builder, steps, (mean, own), (variance, spread))
        mean, variance = own, spread
    epsilon = steps.constant(node.real("epsilon", 1e-5), builder.type(node, 4).dtype)
    deviation = steps("Sqrt", steps("Add", _per_channel(steps, variance, rank), epsilon))
    centred = steps("Sub", x, _like(steps, _per_channel(steps, mean, rank), type_.dtype))
    scaled = steps("Div", centred, _like(steps, deviation, type_.dtype))
    factor, offset = (_like(steps, _per_channel(steps, name, rank), type_.dtype) for name in (scale, bias))
    steps("Add", steps("Mul", scaled, factor), offset, to=node.output)


def _running(node: OnnxNode, builder: GraphBuilder, steps: Steps, *statistics: tuple[str, str]) -> None:
    """The running statistics: a mean of the given ones and of those of this batch, weighted by the momentum."""
    momentum = node.real("momentum", 0.9)
    for index, (given, own) in enumerate(statistics, start=1):
        if index < len(node.outputs) and node.outputs[index]:
            dtype = builder.type(node, 3).dtype
            kept = steps("Mul", given, steps.constant(momentum, dtype))
            new = steps(
                "Mul", steps("Reshape", own, steps.integers(-1)), steps.constant(1.0 - momentum, dtype)
            )
            steps("Add", kept, new, to=node.outputs[index])


def _per_channel(steps: Steps, tensor: str, rank: int) -> str:
    return steps("Reshape", tensor, steps.integers(1, -1, *(1,) * (rank - 2)))


def _like(steps: Steps, tensor: str, dtype: str) -> str:
    return tensor if steps.type(tensor).dtype == dtype else steps.cast(tensor, dtype)


@handles("InstanceNormalization", "all")
def instance_normalization(node: OnnxNode, builder: GraphBuilder) -> None:
    """Each channel of each sample over its own mean and deviation."""
    steps, type_ = Steps(node, builder), builder.type(node)
    rank = len(type_.shape)
    axes = steps.integers(*range(2, rank))
    centred = steps("Sub", node.input(0), steps("ReduceMean", node.input(0), axes, keepdims=1))
    variance = steps("ReduceMean", steps("Mul", centred, centred), axes, keepdims=1)
    epsilon = steps.constant(node.real("epsilon", 1e-5), type_.dtype)
    scaled = steps("Div", centred, steps("Sqrt", steps("Add", variance, epsilon)))
    factor, offset = (_per_channel(steps, node.input(index), rank) for index in (1, 2))
    steps("Add", steps("Mul", scaled, factor), offset, to=node.output)


@handles("LpNormalization", "p of 1 and 2")
def lp_normalization(node: OnnxNode, builder: GraphBuilder) -> None:
    """Each line along an axis over its norm, zeros where that is 0."""
    steps, type_ = Steps(node, builder), builder.type(node)
    order = node.integer("p", 2)
    if order not in (1, 2):
        raise node.malformed(f"attribute p is {order}; it may be 1 or 2")
    axis = node.axis(node.integer("axis", -1), len(type_.shape))
    norm = steps(f"ReduceL{order}", node.input(0), steps.integers(axis), keepdims=1)
    zero = steps.constant(0, type_.dtype)
    safe = steps("Where", steps("Equal", norm, zero), steps.constant(1, type_.dtype), norm)
    steps("Div", node.input(0), safe, to=node.output)
