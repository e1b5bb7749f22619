"""Steps of a composed network, and what they cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

from codegen.graph import Node
from explorer.compose.timed_candidates import TimedCandidate
from explorer.objectives.objective import Weights
from explorer.objectives.usage import Usage


@dataclass(frozen=True)
class ComposedStep:
    """One step of the composed network. `tensors` are what it writes. A relayout has no node: it copies a tensor to
    another layout.

    `in_place`: a concatenation whose parts were written where they belong. `starts_launch`: the QPUs are started
    anew although they ran the step before.
    """

    node: Node | None
    tensors: tuple[str, ...]
    timed: TimedCandidate
    is_view: bool = False
    in_place: bool = False
    starts_launch: bool = False

    @property
    def is_free(self) -> bool:
        """Whether nothing is computed or moved."""
        return self.is_view or self.in_place

    @property
    def time_s(self) -> float:
        """What the step costs in the plan."""
        return 0.0 if self.is_free else self.timed.time_s

    @property
    def usage(self) -> Usage:
        """What it takes of the board."""
        return Usage() if self.is_free else self.timed.usage


@dataclass(frozen=True)
class Overheads:
    """What changes of processor cost, in seconds: a launch of the QPUs, and to wake threads that sleep. Threads
    sleep after a step for one thread that takes longer than `spin_s`.
    """

    launch_s: float = 0.0
    wake_s: float = 0.0
    spin_s: float = 0.0

    def still_awake(self, awake: bool, timed: TimedCandidate) -> bool:
        """Whether threads look for work after a step, given whether they did before."""
        if timed.threads == 1:
            return awake and timed.time_s <= self.spin_s
        return timed.threads > 1


@dataclass(frozen=True)
class Prices:
    """What candidates and overheads count, by what a composition minimises."""

    overheads: Overheads
    weights: Weights = field(default_factory=Weights)

    def of(self, timed: TimedCandidate) -> float:
        return timed.charge + (timed.time_s if self._by_latency else self.weights.of(timed.usage))

    @cached_property
    def _by_latency(self) -> bool:
        """The usual case, of many thousand candidates."""
        return self.weights.terms == Weights().terms

    @cached_property
    def launch(self) -> float:
        """A launch keeps the CPU busy for its overhead."""
        return self.weights.of(overhead(self.overheads.launch_s))

    @cached_property
    def wake(self) -> float:
        """So does waking."""
        return self.weights.of(overhead(self.overheads.wake_s))


def overhead(seconds: float) -> Usage:
    """What it takes to change processors: a core does it."""
    return Usage(latency_s=seconds, cpu_s=seconds)


def starts_launch(steps: Sequence[ComposedStep]) -> tuple[bool, ...]:
    """For each step whether its engine is launched for it: the step before ran on another, or it is told to start
    anew.
    """
    launched = ""
    starts = []
    for step in steps:
        engine = step.timed.engine
        starts.append(
            not step.is_free and engine.launches and (launched != engine.name or step.starts_launch)
        )
        if not step.is_free:
            launched = engine.name if engine.launches else ""
    return tuple(starts)


def wakes(steps: Sequence[ComposedStep], overheads: Overheads) -> tuple[bool, ...]:
    """For each step whether threads have to be woken for it."""
    awake = False
    found = []
    for step in steps:
        found.append(not step.is_free and step.timed.threads > 1 and not awake)
        awake = awake if step.is_free else overheads.still_awake(awake, step.timed)
    return tuple(found)
