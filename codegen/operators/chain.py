"""Layers computed together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from codegen.graph import LayerSpec
from codegen.operator import NO_STAGE, Arrays, Operator, Types
from codegen.tensor import Doubles, TensorType

T = TypeVar("T")


@dataclass(frozen=True)
class Chain(Operator):
    """Layers computed together, each behind the first reading the one before it; a composition groups them.

    `sources[i]` are the inputs of member i: number k of the chain's inputs as k, the output of member i - 1 as -1.
    The chain's weights are those of its members one behind the other.

    Fields:
        members: the layers, in order
        sources: for each member where its inputs come from: a number of the chain's inputs, or -1, the member before
    """

    stages = NO_STAGE

    members: tuple[LayerSpec, ...]
    sources: tuple[tuple[int, ...], ...]

    def infer(self, inputs: Types, weights: Types, declared: Types) -> tuple[TensorType, ...]:
        result: tuple[TensorType, ...] = (inputs[0],)
        for member, sources, own in self.with_weights(weights):
            arguments = [result[0] if source < 0 else inputs[source] for source in sources]
            result = member.op.infer(arguments, own, member.outputs)
        return result

    def evaluate(self, inputs: Arrays, weights: Arrays, outputs: Types) -> tuple[Doubles, ...]:
        result: tuple[Doubles, ...] = (inputs[0],)
        for member, sources, own in self.with_weights(weights):
            arguments = [result[0] if source < 0 else inputs[source] for source in sources]
            result = member.op.evaluate(arguments, own, member.outputs)
        return result

    def describe(self) -> str:
        return "Chain of " + ", ".join(member.op.describe() for member in self.members)

    def macs(self, inputs: Types, weights: Types, outputs: Types) -> int:
        return sum(member.macs for member in self.members)

    def with_weights(self, weights: Sequence[T]) -> Iterator[tuple[LayerSpec, tuple[int, ...], Sequence[T]]]:
        """Every member with its sources and its share of the weights."""
        left = list(weights)
        for member, sources in zip(self.members, self.sources, strict=True):
            own, left = left[: len(member.weights)], left[len(member.weights) :]
            yield member, sources, own


def pair_of(spec: LayerSpec) -> tuple[LayerSpec, LayerSpec] | None:
    """The members of a chain of two, the second of which reads the first's output alone; None for other layers."""
    chain = spec.op
    if not isinstance(chain, Chain) or len(chain.members) != 2 or chain.sources != ((0,), (-1,)):
        return None
    first, second = chain.members
    return first, second
