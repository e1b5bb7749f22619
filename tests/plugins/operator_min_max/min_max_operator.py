"""`example.MinMaxPair`: the least and the greatest element of each sample of a batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from codegen.interval import Interval
from codegen.onnx_import.registry import handles
from codegen.operator import Arrays, Operator, Types, sole_input
from codegen.tensor import Doubles, TensorType

if TYPE_CHECKING:
    from codegen.onnx_import.builder import GraphBuilder
    from codegen.onnx_import.node import OnnxNode


@dataclass(frozen=True)
class MinMaxPair(Operator):
    """Two outputs of shape (samples, 1): over all axes but the first, the least and the greatest element."""

    def infer(self, inputs: Types, weights: Types, declared: Types) -> tuple[TensorType, ...]:
        source = sole_input(self, inputs, weights, 0)
        return (replace(source, shape=(source.shape[0], 1)),) * 2

    def evaluate(self, inputs: Arrays, weights: Arrays, outputs: Types) -> tuple[Doubles, ...]:
        samples = inputs[0].reshape(len(inputs[0]), -1)
        return samples.min(axis=1, keepdims=True), samples.max(axis=1, keepdims=True)

    def range(self, inputs: Sequence[Interval]) -> Interval:
        return inputs[0]


@handles("MinMaxPair", "all", domain="example")
def min_max_pair(node: OnnxNode, builder: GraphBuilder) -> None:
    """Both outputs in the order of ONNX's."""
    builder.emit(node, MinMaxPair(), builder.activation(node))
