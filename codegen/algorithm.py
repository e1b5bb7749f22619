"""The first axis of extension: an algorithm computes one kind of layer on one processor in many ways."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import ClassVar, Protocol, runtime_checkable

from codegen.engines.videocore4.layer import QpuLayer
from codegen.errors import ScheduleError
from codegen.graph import LayerSpec
from codegen.old_forms import REPLACED
from codegen.program import CpuProgram
from codegen.schedule import Choice, Processor, Space, Work
from codegen.target import Target
from codegen.tensor import FloatArray

ENTRY_POINT_GROUP = "explore.algorithms"


class Algorithm(Protocol):
    """One way to compute a kind of layer, with a space of splits and tiles."""

    name: str
    processor: Processor
    element_types: ClassVar[frozenset[str]]
    """Names of the element types that its inputs, outputs and weights may have."""

    def applies(self, spec: LayerSpec, target: Target) -> bool:
        """Whether this algorithm can compute the layer on that board at all."""
        ...

    def space(self, spec: LayerSpec, target: Target) -> Space:
        """Splits over processing elements and tiles; never empty where `applies`."""
        ...

    def choice(self, spec: LayerSpec, target: Target, point: Mapping[str, int]) -> Choice:
        """The choice at a point of the space; raises ScheduleError where no kernel exists for it."""
        ...

    def work(self, spec: LayerSpec, target: Target, choice: Choice) -> Work:
        """What the candidate asks of the machine, from shapes alone."""
        ...


@runtime_checkable
class QpuAlgorithm(Algorithm, Protocol):
    """An algorithm that runs on the VideoCore IV."""

    def lower(
        self,
        spec: LayerSpec,
        target: Target,
        choice: Choice,
        weights: Sequence[FloatArray],
        *,
        output_lines: int | None = None,
    ) -> QpuLayer:
        """Kernel code, packed weights and a way to write each QPU's uniforms.

        `output_lines`: lines from one pixel16 block of the output to the next where the output is a part of a
        tensor with more channels; nothing but the layer's own channels may be written then. None: the output has
        blocks of its own.
        """
        ...


@runtime_checkable
class CpuAlgorithm(Algorithm, Protocol):
    """An algorithm that is C code for the CPU."""

    def emit(
        self, spec: LayerSpec, target: Target, choice: Choice, weights: Sequence[FloatArray], entry: str
    ) -> CpuProgram:
        """A self-contained C function named `entry`, and its packed weights."""
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
