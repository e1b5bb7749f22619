"""Times of a search on the twin, put right by a few on the board: the best of heavy layers, and whatever a plan takes.

What the board was not asked of takes what it takes on the twin, times what the board took of the twin's time for the
same algorithm, in the median over those that both were asked of.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from codegen.graph import LayerSpec
from codegen.schedule import Candidate
from explorer.compose.compose import Composition
from explorer.compose.timed_candidates import TimedCandidate, TimedCandidates, by_candidate
from explorer.search.search import SearchResult
from explorer.search.state import observations
from microbench.store import Sample

Measure = Callable[[Sequence[Candidate]], Sequence[Sample]]
Compose = Callable[[TimedCandidates], Composition]


@dataclass(frozen=True)
class TwinSettings:
    """How much of the board's time a run with a twin takes.

    `heavy`: the share of the plan's time that the layers have whose `best` candidates are measured on the board.
    `rounds`: how often the plan may change after what the board says, all of its candidates being measured each time.
    `plans`: whole plans that are run. `most`: so many of the best candidates at most; None: all of them.
    """

    heavy: float = 0.8
    best: int = 3
    rounds: int = 4
    plans: int = 3
    most: int | None = None


@dataclass(frozen=True, eq=False)
class Corrected:
    """The twin's result with the board's times where there are any, and the plans in the order they were composed."""

    result: SearchResult
    compositions: tuple[Composition, ...]


def corrected(twin: SearchResult, measure: Measure, compose: Compose, settings: TwinSettings) -> Corrected:
    """Asks the board, and composes with what it says until the plan takes nothing that it was not asked of.

    Every time of the last plan is the board's, unless `rounds` ended before. The result has one sample of each
    candidate, the board's where there is one, and its cost model is fitted to these. Raises as `measure` and `compose`.
    """
    times = _Times(twin.timed_candidates)
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
    samples = tuple(times.board.get(sample.candidate, sample) for sample in twin.samples)
    twin.model.fit(observations(samples), ())
    result = replace(twin, timed_candidates=times.known(), samples=samples)
    return Corrected(result, tuple(compositions))


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
    return list(chosen)[: settings.most]


def _candidates(composed: Composition) -> list[Candidate]:
    return list(dict.fromkeys(step.timed.candidate for step in composed.steps if not step.is_free))


@dataclass
class _Times:
    """What is known of each candidate: the board's sample, else the twin's time put right."""

    twin: TimedCandidates
    board: dict[Candidate, Sample] = field(default_factory=dict)

    def take(self, samples: Iterable[Sample]) -> None:
        self.board |= {sample.candidate: sample for sample in samples}

    def known(self) -> TimedCandidates:
        """Without those that failed on the board, and algorithms of which nothing works there."""
        ratios = self._ratios()
        everywhere = statistics.median([share for of_one in ratios.values() for share in of_one] or [1.0])
        factors = {name: statistics.median(of_one) for name, of_one in ratios.items()}
        useless = {candidate.choice.algorithm for candidate in self.board} - ratios.keys()
        return {
            spec: tuple(
                known
                for way in ways
                if way.candidate.choice.algorithm not in useless
                and (known := self._known(way, factors.get(way.candidate.choice.algorithm, everywhere)))
            )
            for spec, ways in self.twin.items()
        }

    def _known(self, way: TimedCandidate, factor: float) -> TimedCandidate | None:
        sample = self.board.get(way.candidate)
        if sample is None:
            return replace(way, time_s=way.time_s * factor)
        if sample.status != "ok":
            return None
        return replace(way, time_s=sample.time_s, kind=sample.kind, sample_id=sample.id)

    def _ratios(self) -> Mapping[str, list[float]]:
        """The board's share of the twin's times, by algorithm."""
        twin = by_candidate(self.twin)
        ratios: dict[str, list[float]] = {}
        for candidate, sample in self.board.items():
            if sample.is_timed:
                share = sample.time_s / twin[candidate].time_s
                ratios.setdefault(candidate.choice.algorithm, []).append(share)
        return ratios
