"""Times of a search on the twin, put right by a few on the board: the best of heavy layers, and whatever a plan takes.

What the board was not asked of takes what it takes on the twin, times what those that it was asked of tell
(`Correction`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from codegen.graph import LayerSpec
from codegen.schedule import Candidate
from explorer.compose.compose import Composition
from explorer.compose.timed_candidates import TimedCandidates
from explorer.search.search import SearchResult
from explorer.twin.times import Corrected, Times
from microbench.profile import DeviceProfile
from microbench.store import Sample

Measure = Callable[[Sequence[Candidate]], Sequence[Sample]]
Compose = Callable[[TimedCandidates], Composition]


@dataclass(frozen=True)
class TwinSettings:
    """How much of the board's time a run with a twin takes.

    `heavy`: the share of the plan's time that the layers have whose `best` candidates are measured on the board.
    `rounds`: how often the plan may change after what the board says, all of its candidates being measured each time.
    `plans`: whole plans that are run.
    """

    heavy: float = 0.8
    best: int = 3
    rounds: int = 4
    plans: int = 3


def corrected(
    twin: SearchResult, profile: DeviceProfile, measure: Measure, compose: Compose, settings: TwinSettings
) -> Corrected:
    """Asks the board, and composes with what it says until the plan takes nothing that it was not asked of.

    Every time of the last plan is the board's, unless `rounds` ended before. `profile`: the twin's. Raises as `measure`
    and `compose`.
    """
    times = Times.of(twin, profile)
    compositions = [compose(times.known())]
    times.take(measure(_best_of_heavy(compositions[0], twin.timed_candidates, settings)))
    for _ in range(settings.rounds):
        compositions.append(compose(times.known()))
        missing = [c for c in _candidates(compositions[-1]) if c not in times.board]
        if not missing:
            break
        times.take(measure(missing))
    else:
        compositions.append(compose(times.known()))
    return times.corrected(twin, compositions)


def _best_of_heavy(composed: Composition, timed: TimedCandidates, settings: TwinSettings) -> list[Candidate]:
    """The fastest candidates of the layers that take most of the plan, the heaviest layer first."""
    by_layer: dict[LayerSpec, float] = {}
    for step in composed.steps:
        if not step.is_free:
            spec = step.timed.candidate.spec
            by_layer[spec] = by_layer.get(spec, 0.0) + step.time_s
    chosen: dict[Candidate, None] = {}
    left_s = settings.heavy * sum(by_layer.values())
    for spec, time_s in sorted(by_layer.items(), key=lambda item: -item[1]):
        if left_s <= 0:
            break
        left_s -= time_s
        fastest = sorted(timed[spec], key=lambda way: way.time_s)[: settings.best]
        chosen |= dict.fromkeys(way.candidate for way in fastest)
    return list(chosen)


def _candidates(composed: Composition) -> list[Candidate]:
    return list(dict.fromkeys(step.timed.candidate for step in composed.steps if not step.is_free))
