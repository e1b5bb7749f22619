"""What an operator is: its type rule, its meaning, its description, and the traits that passes ask for."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar, Literal, Self

import numpy as np

from codegen.errors import GraphSpecError
from codegen.expression import Expression, text
from codegen.interval import ANYTHING, Interval
from codegen.places import Piece
from codegen.tensor import Array, Doubles, TensorType

Types = Sequence[TensorType]
Arrays = Sequence[Doubles]
Pads = tuple[int, int, int, int]

Stage = Literal["imported", "fused"]
EVERY_STAGE: frozenset[Stage] = frozenset({"imported", "fused"})
IMPORTED_ONLY: frozenset[Stage] = frozenset({"imported"})
NO_STAGE: frozenset[Stage] = frozenset()


class Operator(ABC):
    """Base of the operators, each a frozen dataclass in a file of its own with the ONNX handlers that give it.

    Inputs are activations, weights constants, both in the operator's order. `stages`: the stages of a graph that it
    may stand in; one that a composition inserts belongs to none.
    """

    stages: ClassVar[frozenset[Stage]] = EVERY_STAGE
    moves_elements: ClassVar[bool] = False
    """Whether its outputs are elements of its inputs in another arrangement, which `pieces` says."""

    @abstractmethod
    def infer(self, inputs: Types, weights: Types, declared: Types) -> tuple[TensorType, ...]:
        """The types of its outputs. `declared` are those that the graph has for them, which an operator whose
        outputs are its parameter (a Reshape) checks and takes. Raises GraphSpecError where things do not fit.
        """

    @abstractmethod
    def evaluate(self, inputs: Arrays, weights: Arrays, outputs: Types) -> tuple[Doubles, ...]:
        """What it computes, in float64; shapes as `infer` says."""

    def describe(self) -> str:
        """Its name and parameters in one line; the epilogue stands behind the shapes."""
        return type(self).__name__

    def macs(self, inputs: Types, weights: Types, outputs: Types) -> int:
        """Multiply-accumulates of direct computation, padding counted; 0 where it multiplies no weights."""
        return 0

    def fused_with(self, expression: Expression) -> Operator | None:
        """The operator that applies an expression of one operand to its result as well; None: it cannot."""
        return None

    def scaled(
        self, weights: Sequence[Array], factor: Doubles, offset: Doubles
    ) -> tuple[Doubles, ...] | None:
        """Weights that give `result * factor + offset` for each channel; None: it is not linear in its channels."""
        return None

    def padded_by(self, pads: Pads, input_range: Interval) -> Operator | None:
        """The operator that puts zeros around its input's planes itself; None: its padding is not that."""
        return None

    @property
    def skips_zeros(self) -> bool:
        """Whether weights[0] are factors of sums, outputs first: an algorithm may leave out those that are zero."""
        return False

    @property
    def chain_part(self) -> Literal["begin", "window", "end"] | None:
        """What it can be in a chain of layers computed together: a begin whose result one window reads as it comes, a
        window that slides over its only input, or an end that reads its inputs pixel by pixel; None: no part of any.
        """
        return None

    def carried(self, axis: int, source: int, inputs: Types, outputs: Types) -> tuple[int | None, ...]:
        """For each output its axis along which stands, index for index, what axis `axis` of input `source` holds, so
        that the first elements of one give the first of the other; None: there is no such axis.
        """
        return (None,) * len(outputs)

    def filler(self, axis: int, source: int, inputs: Types) -> float | None:
        """The number with which input `source` gives, where it stands behind the first elements along an axis, what
        these alone would give; None: there is none.
        """
        return None

    def pieces(self, inputs: Types, outputs: Types) -> Sequence[Piece]:
        """Where the elements of all outputs come from; none where it computes them."""
        return ()

    def range(self, inputs: Sequence[Interval]) -> Interval:
        """Where its results lie, as far as the operator alone tells."""
        return ANYTHING


class Epilogued(Operator):
    """Base of the operators whose last step is an expression, of the result and, as operand 1, a further input.

    Their dataclasses have a field `epilogue`; `core_inputs` is how many inputs stand before the epilogue's.
    """

    epilogue: Expression
    core_inputs: ClassVar[int] = 1

    def fused_with(self, expression: Expression) -> Self:
        return replace(self, epilogue=expression.substitute((self.epilogue,)))  # type: ignore[type-var]

    def finish(self, result: Doubles, inputs: Arrays) -> tuple[Doubles, ...]:
        """The result behind the epilogue."""
        return (self.epilogue.evaluate((result, *inputs[self.core_inputs :])),)

    def sole(self, inputs: Types, weights: Types, count: int) -> TensorType:
        """The type of the only input before the epilogue's; raises GraphSpecError for other numbers."""
        own = max(0, self.epilogue.arity - 1)
        return sole_input(self, inputs[: len(inputs) - own] if own else inputs, weights, count)

    def result(self, inputs: Types, output: TensorType) -> tuple[TensorType, ...]:
        """The output, to whose shape the epilogue's further input must broadcast."""
        for other in inputs[self.core_inputs :]:
            if not broadcasts(other.shape, output.shape):
                raise GraphSpecError(
                    f"{type(self).__name__} has an epilogue with a tensor of shape {other.shape}, "
                    f"which does not broadcast to {output.shape}"
                )
        return (output,)


def epilogue_text(op: Operator) -> str:
    """The epilogue in a few characters; empty where there is none."""
    return text(op.epilogue) if isinstance(op, Epilogued) else ""


def reads_further_tensor(op: Operator) -> bool:
    """Whether the epilogue reads a tensor beside the layer's result: a residual."""
    return isinstance(op, Epilogued) and op.epilogue.arity > 1


def sole_input(op: Operator, inputs: Types, weights: Types, count: int) -> TensorType:
    """The type of the only input; raises GraphSpecError unless there is one input and `count` weights."""
    if len(inputs) != 1 or len(weights) != count:
        raise GraphSpecError(
            f"{type(op).__name__} takes 1 input and {count} weights, not {len(inputs)} and {len(weights)}"
        )
    return inputs[0]


def broadcast_axis(axis: int, shape: tuple[int, ...], result: tuple[int, ...]) -> int | None:
    """The axis of a result, to which the shape broadcasts, where an axis of it lies; None where it is spread out."""
    place = len(result) - len(shape) + axis
    return place if result[place] == shape[axis] else None


def broadcasts(shape: tuple[int, ...], target: tuple[int, ...]) -> bool:
    """Whether a tensor of that shape can be read as one of the target's."""
    try:
        return np.broadcast_shapes(shape, target) == target
    except ValueError:
        return False
