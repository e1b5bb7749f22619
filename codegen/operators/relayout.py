"""Changes of memory layout."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from codegen.interval import Interval
from codegen.operator import NO_STAGE, Arrays, Operator, Types, sole_input
from codegen.places import Piece, in_order
from codegen.tensor import Doubles, TensorType


@dataclass(frozen=True)
class Relayout(Operator):
    """Moves a tensor from one memory layout to another; inserted by the composition, never by an importer.

    Fields:
        source: name of the layout that is read
        target: name of the layout that is written
    """

    stages = NO_STAGE
    moves_elements = True

    source: str
    target: str

    def infer(self, inputs: Types, weights: Types, declared: Types) -> tuple[TensorType, ...]:
        return (sole_input(self, inputs, weights, 0),)

    def evaluate(self, inputs: Arrays, weights: Arrays, outputs: Types) -> tuple[Doubles, ...]:
        return (inputs[0],)

    def describe(self) -> str:
        return f"Relayout {self.source} to {self.target}"

    def pieces(self, inputs: Types, outputs: Types) -> Sequence[Piece]:
        return (Piece(0, 0, in_order(inputs[0])),)

    def range(self, inputs: Sequence[Interval]) -> Interval:
        return inputs[0]
