"""The slices along an axis for which a condition holds: Compress."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from codegen.errors import GraphSpecError
from codegen.onnx_import.registry import handles
from codegen.onnx_import.steps import Steps
from codegen.operator import Arrays, Operator, Types
from codegen.tensor import Doubles, TensorType

if TYPE_CHECKING:
    from codegen.onnx_import.builder import GraphBuilder
    from codegen.onnx_import.node import OnnxNode


@dataclass(frozen=True)
class Compress(Operator):
    """Slices of the first input along `axis` where the second is not 0, and how many there are; 0 behind them. A
    condition that is shorter than the axis ends there.

    Fields:
        axis: the axis, counted from 0
    """

    axis: int

    def infer(self, inputs: Types, weights: Types, declared: Types) -> tuple[TensorType, ...]:
        if len(inputs) != 2 or weights or len(inputs[1].shape) != 1 or inputs[1].dtype != "bool":
            raise GraphSpecError(f"Compress of {inputs} and {len(weights)} weights")
        source, condition = inputs
        if not 0 <= self.axis < len(source.shape):
            raise GraphSpecError(f"Compress along axis {self.axis} of a tensor of shape {source.shape}")
        most = min(source.shape[self.axis], condition.shape[0])
        shape = (*source.shape[: self.axis], most, *source.shape[self.axis + 1 :])
        return TensorType(shape, source.dtype), TensorType((), "int64")

    def evaluate(self, inputs: Arrays, weights: Arrays, outputs: Types) -> tuple[Doubles, ...]:
        places = np.flatnonzero(inputs[1][: inputs[0].shape[self.axis]])
        result = np.zeros(outputs[0].shape)
        np.moveaxis(result, self.axis, 0)[: len(places)] = np.moveaxis(inputs[0], self.axis, 0)[places]
        return result, np.asarray(float(len(places)))

    def filler(self, axis: int, source: int, inputs: Types) -> float | None:
        return 0.0 if source == 1 else None

    def describe(self) -> str:
        return f"Compress axis {self.axis}"


@handles("Compress", "all; with a length where the condition is computed")
def compress(node: OnnxNode, builder: GraphBuilder) -> None:
    """By a condition that is known a Gather."""
    steps, source = Steps(node, builder), node.input(0)
    if "axis" not in node.attributes:
        source = steps("Reshape", source, steps.integers(-1))
    axis = node.axis(node.integer("axis", 0), len(steps.shape(source)))
    if builder.is_constant(node.input(1)):
        condition = np.asarray(builder.constant(node, 1))
        if condition.ndim != 1 or condition.dtype.kind != "b":
            found = f"{condition.dtype} of shape {condition.shape}"
            raise node.malformed(f"its condition is {found}, no row of truth values")
        places = np.flatnonzero(condition[: steps.shape(source)[axis]])
        steps("Gather", source, steps.constant(places, "int64"), to=node.output, axis=axis)
    else:
        tensor = builder.tensor_of(node, source)
        length = builder.length(tensor)
        if length is not None and length.axis == axis:  # what lies behind it is chosen by none
            tensor = builder.to_bound(node, tensor)
        tensors = (tensor, builder.activation(node, 1))
        builder.emit_bounded(node, Compress(axis), tensors, (axis,))
