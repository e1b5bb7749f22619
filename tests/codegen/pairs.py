"""Pairs of layers for tests of what computes two at the same time."""

from __future__ import annotations

from contextlib import suppress

from codegen.algorithm import algorithm_named
from codegen.errors import ScheduleError
from codegen.graph import LayerSpec
from codegen.operators.side_by_side import SideBySide
from codegen.schedule import Candidate
from codegen.target import Target


def candidate(name: str, spec: LayerSpec, target: Target, **wanted: int | str) -> Candidate:
    """The first of an algorithm's candidates for a layer that has these values."""
    algorithm = algorithm_named(name)
    for point in algorithm.space(spec, target).points():
        with suppress(ScheduleError):
            if wanted.items() <= point.items():
                return Candidate(spec, algorithm.choice(spec, target, point))
    raise AssertionError(f"{name} offers nothing for {spec.describe()}")


def pair_spec(first: Candidate, second: Candidate) -> LayerSpec:
    """Both as one layer."""
    members = first.spec, second.spec
    inputs, outputs, weights = (
        tuple(tensor for spec in members for tensor in getattr(spec, kind))
        for kind in ("inputs", "outputs", "weights")
    )
    return LayerSpec(SideBySide((first, second)), inputs, outputs, weights)
