"""Where a tensor is not 0: NonZero."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from codegen.errors import GraphSpecError
from codegen.onnx_import.registry import handles
from codegen.operator import Arrays, Operator, Types, sole_input
from codegen.tensor import Doubles, TensorType

if TYPE_CHECKING:
    from codegen.onnx_import.builder import GraphBuilder
    from codegen.onnx_import.node import OnnxNode


@dataclass(frozen=True)
class NonZero(Operator):
    """Indices (rank, elements) of the elements that are not 0, in row-major order, and how many there are; 0 behind
    them.
    """

    def infer(self, inputs: Types, weights: Types, declared: Types) -> tuple[TensorType, ...]:
        source = sole_input(self, inputs, weights, 0)
        if not source.shape:
            raise GraphSpecError("NonZero of a scalar, which has no indices")
        return TensorType((len(source.shape), source.elements), "int64"), TensorType((), "int64")

    def evaluate(self, inputs: Arrays, weights: Arrays, outputs: Types) -> tuple[Doubles, ...]:
        found = np.array(np.nonzero(inputs[0]))
        result = np.zeros(outputs[0].shape)
        result[:, : found.shape[1]] = found
        return result, np.asarray(float(found.shape[1]))

    def filler(self, axis: int, source: int, inputs: Types) -> float | None:
        return 0.0


@handles("NonZero", "all; with a length")
def non_zero(node: OnnxNode, builder: GraphBuilder) -> None:
    """NonZero of at most all elements."""
    builder.emit_bounded(node, NonZero(), builder.tensor(node), (1,))
