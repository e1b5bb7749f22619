"""A constant where an activation is wanted."""

from __future__ import annotations

from dataclasses import dataclass

from codegen.errors import GraphSpecError
from codegen.operator import Arrays, Operator, Types
from codegen.tensor import Doubles, TensorType


@dataclass(frozen=True)
class Literal(Operator):
    """No input; its only weight is its output."""

    def infer(self, inputs: Types, weights: Types, declared: Types) -> tuple[TensorType, ...]:
        if inputs or len(weights) != 1:
            raise GraphSpecError(
                f"Literal takes 1 weight, not {len(inputs)} inputs and {len(weights)} weights"
            )
        return (weights[0],)

    def evaluate(self, inputs: Arrays, weights: Arrays, outputs: Types) -> tuple[Doubles, ...]:
        return (weights[0],)
