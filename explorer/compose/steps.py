"""Steps of a composed network, and what they cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from codegen.graph import Node
from explorer.compose.timed_candidates import TimedCandidate


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
    def cpu_s(self) -> float:
        """How long cores are busy with it, all together."""
        return 0.0 if self.is_free else self.timed.cpu_s


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
    """Overheads, and the seconds of latency that a second of CPU time is worth."""

    overheads: Overheads
    cpu: float = 0.0

    def of(self, timed: TimedCandidate) -> float:
        return timed.time_s + self.cpu * timed.cpu_s

    @property
    def launch(self) -> float:
        """A launch keeps the CPU busy for its overhead."""
        return self.overheads.launch_s * (1.0 + self.cpu)

    @property
    def wake(self) -> float:
        """So does waking."""
        return self.overheads.wake_s * (1.0 + self.cpu)


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
