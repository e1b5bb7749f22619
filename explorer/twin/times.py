"""What is known of a network's candidates on a board: its own times of some, the twin's of all others, put right."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from codegen.schedule import Candidate
from cost_models.roofline import RooflineModel
from explorer.compose.compose import Composition
from explorer.compose.timed_candidates import TimedCandidate, TimedCandidates, by_candidate
from explorer.search.search import SearchResult
from explorer.search.state import observations
from explorer.twin.correction import Correction
from microbench.profile import DeviceProfile
from microbench.store import Sample


@dataclass(frozen=True, eq=False)
class Corrected:
    """The twin's result with the board's times where there are any, and the plans in the order they were composed."""

    result: SearchResult
    compositions: tuple[Composition, ...]


@dataclass
class Times:
    """What is known of each candidate: the board's sample, else the twin's time put right."""

    twin: TimedCandidates
    correction: Correction
    board: dict[Candidate, Sample] = field(default_factory=dict)

    @staticmethod
    def of(twin: SearchResult, profile: DeviceProfile) -> Times:
        """The twin's, before the board was asked; `profile`: the twin's."""
        working = by_candidate(twin.timed_candidates)
        samples = [sample for sample in twin.samples if sample.is_timed and sample.candidate in working]
        return Times(twin.timed_candidates, Correction.of(samples, RooflineModel(profile)))

    def take(self, samples: Iterable[Sample]) -> None:
        """What the board was asked of."""
        self.board |= {sample.candidate: sample for sample in samples}
        timed = {sample.candidate: sample.time_s for sample in self.board.values() if sample.is_timed}
        self.correction = self.correction.knowing(timed)

    def known(self) -> TimedCandidates:
        """Without those that failed on the board, and algorithms of which nothing works there."""
        factors = self.correction.factors()
        works = {c.choice.algorithm for c, sample in self.board.items() if sample.is_timed}
        useless = {candidate.choice.algorithm for candidate in self.board} - works
        return {
            spec: tuple(
                known
                for way in ways
                if way.candidate.choice.algorithm not in useless
                and (known := self._known(way, factors.get(way.candidate, 1.0)))
            )
            for spec, ways in self.twin.items()
        }

    def corrected(self, twin: SearchResult, compositions: Sequence[Composition]) -> Corrected:
        """The result with one sample of each candidate, the board's where there is one, to which its cost model is
        fitted.
        """
        samples = tuple(self.board.get(sample.candidate, sample) for sample in twin.samples)
        twin.model.fit(observations(samples), ())
        result = replace(twin, timed_candidates=self.known(), samples=samples, unseen=twin.model.unseen())
        return Corrected(result, tuple(compositions))

    def _known(self, way: TimedCandidate, factor: float) -> TimedCandidate | None:
        sample = self.board.get(way.candidate)
        if sample is None:
            return replace(way, time_s=way.time_s * factor)
        if sample.status != "ok":
            return None
        return replace(way, time_s=sample.time_s, kind=sample.kind, sample_id=sample.id)
