"""The first axis of extension: an algorithm computes one kind of layer on one engine in many ways."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import ClassVar, Protocol

from codegen.errors import ScheduleError
from codegen.graph import LayerSpec
from codegen.old_forms import REPLACED
from codegen.schedule import AxisNames, Choice, Phase, Point, Space, Work
from codegen.target import Target

ENTRY_POINT_GROUP = "explore.algorithms"


class Algorithm(Protocol):
    """One way to compute a kind of layer on an engine, with a space of splits and tiles.

    What it makes programs by beside this, its engine says: `CpuAlgorithm.emit`, `QpuAlgorithm.lower`.
    """

    name: str
    engine: str
    element_types: ClassVar[frozenset[str]]
    """Names of the element types that its inputs, outputs and weights may have."""
    axis_names: ClassVar[AxisNames]
    """The values of its axes of names, in the order in which models of costs number them from 0."""

    def applies(self, spec: LayerSpec, target: Target) -> bool:
        """Whether this algorithm can compute the layer on that board at all."""
        ...

    def space(self, spec: LayerSpec, target: Target) -> Space:
        """Splits over processing elements and tiles; never empty where `applies`."""
        ...

    def choice(self, spec: LayerSpec, target: Target, point: Point) -> Choice:
        """The choice at a point of the space; raises ScheduleError where no kernel exists for it."""
        ...

    def work(self, spec: LayerSpec, target: Target, choice: Choice) -> Work:
        """What the candidate asks of the machine, from shapes alone."""
        ...

    def phases(self, spec: LayerSpec, target: Target, choice: Choice) -> tuple[Phase, ...]:
        """The parts of that work which are done one after the other; () where it is one."""
        ...


@cache
def algorithms() -> Mapping[str, Algorithm]:
    """Every registered algorithm by name: built-ins and plug-ins through the same entry points."""
    found: dict[str, Algorithm] = {}
    for point in sorted(entry_points(group=ENTRY_POINT_GROUP), key=lambda p: p.name):
        algorithm = _load(point)
        if algorithm.name in found:
            raise ScheduleError(
                f"two algorithms are named {algorithm.name!r} (second: {point.value}); rename the plug-in"
            )
        found[algorithm.name] = algorithm
    if not found:
        raise ScheduleError("no algorithm is registered: install the package (`./bootstrap test` does)")
    return found


def check_choice(spec: LayerSpec, target: Target, choice: Choice) -> None:
    """Raises ScheduleError unless the choice is one of those that its algorithm offers for the layer."""
    algorithm = algorithm_named(choice.algorithm)
    if algorithm.applies(spec, target):
        given = {**choice.splits, **choice.tiles}
        axes = (
            axis if given.get(axis.name) not in axis.values else replace(axis, values=(given[axis.name],))
            for axis in algorithm.space(spec, target).axes
        )
        for point in Space(tuple(axes)).points():
            with suppress(ScheduleError):
                if algorithm.choice(spec, target, point) == choice:
                    return
    raise ScheduleError(f"algorithm {choice.algorithm!r} does not offer this choice for the layer")


def _load(point: EntryPoint) -> Algorithm:
    try:
        algorithm: Algorithm = point.load()()
    except (ImportError, AttributeError, TypeError) as error:
        raise ScheduleError(
            f"algorithm {point.name!r} ({point.value}) does not load: {error}; reinstall it"
        ) from error
    return algorithm


def algorithm_named(name: str) -> Algorithm:
    """The algorithm of that name; raises ScheduleError listing the known ones, or naming what replaced it."""
    known = algorithms()
    if name not in known and name in REPLACED:
        raise ScheduleError(
            f"algorithm {name!r} is no more: {REPLACED[name]!r} computes its layers; make the plan again "
            "with `explore run`"
        )
    if name not in known:
        raise ScheduleError(f"unknown algorithm {name!r}; known: {', '.join(known)}")
    return known[name]
