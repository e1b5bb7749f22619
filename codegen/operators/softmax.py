"""Softmax, whose meaning changed in operator set 13."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from codegen.element_type import FLOAT32
from codegen.errors import GraphSpecError
from codegen.interval import Interval
from codegen.onnx_import.registry import handles
from codegen.onnx_import.steps import Steps
from codegen.operator import Arrays, Operator, Types, sole_input
from codegen.operators.reduction import emit_along_axis
from codegen.operators.reshape import Reshape
from codegen.tensor import Doubles, TensorType

if TYPE_CHECKING:
    from codegen.onnx_import.builder import GraphBuilder
    from codegen.onnx_import.node import OnnxNode


@dataclass(frozen=True)
class Softmax(Operator):
    """Softmax over one axis (non-negative).

    Fields:
        axis: the axis, counted from 0
    """

    axis: int

    def infer(self, inputs: Types, weights: Types, declared: Types) -> tuple[TensorType, ...]:
        source = sole_input(self, inputs, weights, 0)
        if not 0 <= self.axis < len(source.shape):
            raise GraphSpecError(f"Softmax over axis {self.axis} of a tensor of shape {source.shape}")
        return (source,)

    def evaluate(self, inputs: Arrays, weights: Arrays, outputs: Types) -> tuple[Doubles, ...]:
        exponentials = np.exp(inputs[0] - inputs[0].max(axis=self.axis, keepdims=True))
        return (np.asarray(exponentials / exponentials.sum(axis=self.axis, keepdims=True)),)

    def carried(self, axis: int, source: int, inputs: Types, outputs: Types) -> tuple[int | None, ...]:
        return (axis,)

    def filler(self, axis: int, source: int, inputs: Types) -> float | None:
        return -np.inf if axis == self.axis else None

    def describe(self) -> str:
        return f"Softmax axis {self.axis}"

    def range(self, inputs: Sequence[Interval]) -> Interval:
        return Interval(0.0, 1.0)


@handles("Softmax", "all")
def softmax(node: OnnxNode, builder: GraphBuilder) -> None:
    """Over one axis since operator set 13; before, over all axes from the given one on, as a matrix."""
    if builder.type(node).dtype == "float16" and node.opset >= 13:
        _in_steps(node, builder)
        return
    if builder.type(node).dtype != FLOAT32.name:
        emit_along_axis(node, builder, "softmax")
        return
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


def _in_steps(node: OnnxNode, builder: GraphBuilder) -> None:
    """Softmax as ONNX defines it, each step rounded to the element type: what other runtimes give for float16."""
    steps = Steps(node, builder)
    axes = steps.integers(node.axis(node.integer("axis", -1), len(builder.type(node).shape)))
    shifted = steps("Sub", node.input(0), steps("ReduceMax", node.input(0), axes))
    exponentials = steps("Exp", shifted)
    steps("Div", exponentials, steps("ReduceSum", exponentials, axes), to=node.output)
