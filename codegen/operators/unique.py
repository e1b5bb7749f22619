"""What a tensor consists of, each once: Unique."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from codegen.errors import GraphSpecError
from codegen.onnx_import.registry import handles
from codegen.onnx_import.steps import Steps
from codegen.operator import Arrays, Operator, Types, sole_input
from codegen.tensor import Doubles, TensorType

if TYPE_CHECKING:
    from codegen.onnx_import.builder import GraphBuilder
    from codegen.onnx_import.node import OnnxNode


@dataclass(frozen=True)
class Unique(Operator):
    """The slices along `axis` that differ, each once, in ascending order of their elements or in that of their first
    places. Outputs: the slices, their first places, for each slice of the input the place of its like among them, how
    often each occurs, and how many there are; 0 behind them. Numbers that are none are alike, and come last.

    Fields:
        axis: the axis, counted from 0
        ascending: whether results are sorted, in place of the order of their first places
    """

    axis: int
    ascending: bool

    def infer(self, inputs: Types, weights: Types, declared: Types) -> tuple[TensorType, ...]:
        source = sole_input(self, inputs, weights, 0)
        if not 0 <= self.axis < len(source.shape):
            raise GraphSpecError(f"Unique along axis {self.axis} of a tensor of shape {source.shape}")
        places = TensorType((source.shape[self.axis],), "int64")
        return source, places, places, places, TensorType((), "int64")

    def evaluate(self, inputs: Arrays, weights: Arrays, outputs: Types) -> tuple[Doubles, ...]:
        slices = np.moveaxis(inputs[0], self.axis, 0)
        flat = slices.reshape(slices.shape[0], -1)
        _, first, inverse, counts = np.unique(flat, True, True, True, axis=0)
        inverse = inverse.reshape(-1)
        if not self.ascending:
            order = np.argsort(first)
            first, counts = first[order], counts[order]
            inverse = np.argsort(order)[inverse]
        result = np.zeros(slices.shape)
        result[: len(first)] = slices[first]
        padded = [
            np.pad(values, (0, slices.shape[0] - len(first))).astype(np.float64) for values in (first, counts)
        ]
        return (
            np.ascontiguousarray(np.moveaxis(result, 0, self.axis)),
            padded[0],
            inverse.astype(np.float64),
            padded[1],
            np.asarray(float(len(first))),
        )

    def describe(self) -> str:
        return f"Unique axis {self.axis}{'' if self.ascending else ' in order'}"


@handles("Unique", "all; with a length")
def unique(node: OnnxNode, builder: GraphBuilder) -> None:
    """Unique of at most all slices; without an axis of the elements."""
    steps, source = Steps(node, builder), node.input(0)
    if "axis" not in node.attributes:
        source = steps("Reshape", source, steps.integers(-1))
    axis = node.axis(node.integer("axis", 0), len(steps.shape(source)))
    op = Unique(axis, bool(node.integer("sorted", 1)))
    builder.emit_bounded(node, op, builder.tensor_of(node, source), (axis, 0, None, 0))
