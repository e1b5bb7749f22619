"""Measured ways to compute a layer, and which of them a composition has to look at."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from codegen.graph import LayerSpec, Relayout, TensorType
from codegen.schedule import Candidate, Processor
from microbench.board import Kind


@dataclass(frozen=True)
class Option:
    """A candidate that works, with its time on the board and the sample that says so."""

    candidate: Candidate
    time_s: float
    kind: Kind
    sample_id: int


class Interface(NamedTuple):
    """All that a neighbour sees of a choice: options with equal interfaces differ in time only."""

    processor: Processor
    input_layouts: tuple[str, ...]
    output_layout: str

    @staticmethod
    def of(candidate: Candidate) -> Interface:
        choice = candidate.choice
        return Interface(choice.processor, choice.input_layouts, choice.output_layout)


Options = Mapping[LayerSpec, tuple[Option, ...]]


def fastest_by_interface(options: Iterable[Option]) -> tuple[Option, ...]:
    """The best option of each interface, in the interfaces' order; equal times go to the smaller hash."""
    best: dict[Interface, Option] = {}
    for option in sorted(options, key=lambda o: (o.time_s, o.candidate.hash)):
        best.setdefault(Interface.of(option.candidate), option)
    return tuple(best[interface] for interface in sorted(best))


def relayout_spec(tensor: TensorType, source: str, target: str) -> LayerSpec:
    """The layer that moves a tensor from one layout to another."""
    return LayerSpec(Relayout(source, target), (tensor,), tensor)
