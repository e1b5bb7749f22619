"""Determinants of square matrices: Det."""

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
class Determinant(Operator):
    """The determinant of the matrix of the last two axes, for each index of the others."""

    def infer(self, inputs: Types, weights: Types, declared: Types) -> tuple[TensorType, ...]:
        source = sole_input(self, inputs, weights, 0)
        shape = source.shape
        if len(shape) < 2 or shape[-1] != shape[-2] or not source.element_type.is_floating:
            raise GraphSpecError(f"Determinant of a tensor of {source.dtype} of shape {shape}")
        return (TensorType(shape[:-2], source.dtype),)

    def evaluate(self, inputs: Arrays, weights: Arrays, outputs: Types) -> tuple[Doubles, ...]:
        return (np.asarray(np.linalg.det(inputs[0])),)


@handles("Det", "all")
def det(node: OnnxNode, builder: GraphBuilder) -> None:
    """Det of one matrix or many."""
    builder.emit(node, Determinant(), builder.tensor(node))
