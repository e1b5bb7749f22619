"""Measured ways to compute a layer, and which of them a composition has to look at."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

from codegen.engine import Engine
from codegen.engine_registry import engine_named
from codegen.errors import ScheduleError
from codegen.graph import LayerSpec
from codegen.operators.relayout import Relayout
from codegen.schedule import Candidate
from codegen.target import Target
from codegen.tensor import TensorType
from explorer.compose.footprint import FootprintOf, footprint_of
from explorer.objectives.usage import Usage
from microbench.board import Kind


@dataclass(frozen=True)
class TimedCandidate:
    """A candidate that works, with its time on the board and the sample that says so. `traffic_bytes` are read,
    re-reads included, and written. `charge`: what it costs beside what it takes, in the unit of prices.
    """

    candidate: Candidate
    time_s: float
    kind: Kind
    sample_id: int
    workspace_bytes: int = 0
    traffic_bytes: float = 0.0
    charge: float = 0.0

    @property
    def engine(self) -> Engine:
        """Whose program it is."""
        return engine_named(self.candidate.choice.engine)

    @property
    def threads(self) -> int:
        """Cores of the CPU that it keeps busy; 0 on an engine beside it."""
        return threads_of(self.candidate)

    @property
    def cpu_s(self) -> float:
        """How long cores are busy with it, all together; a core that waits for another counts."""
        return self.threads * self.time_s

    @property
    def usage(self) -> Usage:
        """What it takes of the board."""
        beside_s = 0.0 if self.engine.keeps_cores_busy else self.time_s
        return Usage(self.time_s, self.cpu_s, beside_s, self.traffic_bytes)


class Interface(NamedTuple):
    """All that a neighbour sees of a choice."""

    engine: str
    input_layouts: tuple[str, ...]
    output_layouts: tuple[str, ...]

    @staticmethod
    def of(candidate: Candidate) -> Interface:
        choice = candidate.choice
        return Interface(choice.engine, choice.input_layouts, choice.output_layouts)


TimedCandidates = Mapping[LayerSpec, tuple[TimedCandidate, ...]]


def threads_of(candidate: Candidate) -> int:
    """Threads on the CPU: those of its split, 0 where its engine keeps no core busy."""
    choice = candidate.choice
    return choice.threads if engine_named(choice.engine).keeps_cores_busy else 0


def by_candidate(timed_candidates: TimedCandidates) -> Mapping[Candidate, TimedCandidate]:
    """Every timed candidate, whatever its layer."""
    return {way.candidate: way for ways in timed_candidates.values() for way in ways}


def launchable(
    timed_candidates: TimedCandidates, target: Target, footprint: FootprintOf | None = None
) -> TimedCandidates:
    """Without those of which a part alone takes longer than a launch of their engine may; `footprint` as in
    `compose_on`.
    """
    of = footprint or partial(footprint_of, target=target)

    def fits(timed: TimedCandidate) -> bool:
        engine = timed.engine
        if not engine.launches or timed.time_s <= engine.launch_limits(target).seconds:
            return True
        with suppress(ScheduleError):
            pieces = of(timed.candidate).pieces(timed.time_s)
            return max(piece.seconds for piece in pieces) <= engine.launch_limits(target).seconds
        return False

    return {spec: tuple(filter(fits, ways)) for spec, ways in timed_candidates.items()}


def efficient(
    timed_candidates: Iterable[TimedCandidate], price: Callable[[TimedCandidate], float]
) -> tuple[TimedCandidate, ...]:
    """Of each interface and number of threads those that no other beats in price and workspace.

    Of equal ones the first; the interface of the cheapest comes first.
    """
    kept: dict[tuple[Interface, int], list[TimedCandidate]] = {}
    for timed in sorted(timed_candidates, key=lambda o: (price(o), o.workspace_bytes)):
        rivals = kept.setdefault((Interface.of(timed.candidate), timed.threads), [])
        if not rivals or timed.workspace_bytes < rivals[-1].workspace_bytes:
            rivals.append(timed)
    return tuple(timed for rivals in kept.values() for timed in rivals)


def relayout_spec(tensor: TensorType, source: str, target: str) -> LayerSpec:
    """The layer that moves a tensor from one layout to another."""
    return LayerSpec(Relayout(source, target), (tensor,), (tensor,))
