"""Layers that do not depend on each other, computed at the same time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

from codegen.errors import GraphSpecError
from codegen.operator import NO_STAGE, Arrays, Operator, Types
from codegen.schedule import Candidate
from codegen.tensor import Doubles, TensorType

T = TypeVar("T")


class Share(NamedTuple):
    """Of the inputs, outputs and weights of all members those of one."""

    inputs: slice
    outputs: slice
    weights: slice


@dataclass(frozen=True)
class SideBySide(Operator):
    """Two layers of which neither reads what the other writes, each by its own choice; a composition groups them.

    Inputs, outputs and weights are those of the first member, then those of the second.

    Fields:
        members: both layers, with the choices that compute them
    """

    stages = NO_STAGE

    members: tuple[Candidate, ...]

    def infer(self, inputs: Types, weights: Types, declared: Types) -> tuple[TensorType, ...]:
        specs = [member.spec for member in self.members]
        for given, own in ((inputs, [s.inputs for s in specs]), (weights, [s.weights for s in specs])):
            if tuple(given) != tuple(tensor for tensors in own for tensor in tensors):
                raise GraphSpecError("SideBySide: its inputs or weights are not those of its members")
        return tuple(
            tensor for spec in specs for tensor in spec.op.infer(spec.inputs, spec.weights, spec.outputs)
        )

    def evaluate(self, inputs: Arrays, weights: Arrays, outputs: Types) -> tuple[Doubles, ...]:
        return tuple(
            result
            for member, share in self.shares()
            for result in member.spec.op.evaluate(
                inputs[share.inputs], weights[share.weights], outputs[share.outputs]
            )
        )

    def describe(self) -> str:
        return "SideBySide of " + " and ".join(member.spec.op.describe() for member in self.members)

    def macs(self, inputs: Types, weights: Types, outputs: Types) -> int:
        return sum(member.spec.macs for member in self.members)

    def shares(self) -> Iterator[tuple[Candidate, Share]]:
        """Every member with what is its own."""
        inputs = outputs = weights = 0
        for member in self.members:
            spec = member.spec
            ends = inputs + len(spec.inputs), outputs + len(spec.outputs), weights + len(spec.weights)
            yield member, Share(slice(inputs, ends[0]), slice(outputs, ends[1]), slice(weights, ends[2]))
            inputs, outputs, weights = ends


def members_of(candidate: Candidate) -> Sequence[Candidate]:
    """What a candidate computes at the same time; itself where it is one layer."""
    op = candidate.spec.op
    return op.members if isinstance(op, SideBySide) else (candidate,)
