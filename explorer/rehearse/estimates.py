"""What timed candidates take in the network, by what was seen of some of them there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from statistics import median

from codegen.schedule import Candidate
from explorer.compose.timed_candidates import TimedCandidate, TimedCandidates
from microbench.store import Sample


class Estimates:
    """Seen times count as they are. The others are their times alone, by the ratio that was seen of their layer's
    candidates, or the usual one of all layers where none was.
    """

    def __init__(self, alone: TimedCandidates) -> None:
        self._alone = alone
        self._seen: dict[Candidate, list[float]] = {}
        self._newest: dict[Candidate, int] = {}
        self._tried: set[Candidate] = set()

    @property
    def tried(self) -> frozenset[Candidate]:
        """The candidates that ran in a network, in vain or not."""
        return frozenset(self._tried)

    def take(self, samples: Sequence[Sample]) -> None:
        """The samples of one round of plans that took turns.

        A shared machine is slower at one time than at another. A round's times are brought to those before by the
        candidates that both have.
        """
        timed = [sample for sample in samples if sample.is_timed]
        common = [sample for sample in timed if sample.candidate in self._seen]
        pace = median([sample.time_s / self._time(sample.candidate) for sample in common] or [1.0])
        self._tried.update(sample.candidate for sample in samples)
        for sample in timed:
            self._seen.setdefault(sample.candidate, []).append(sample.time_s / pace)
            self._newest[sample.candidate] = sample.id

    def hoped(self) -> TimedCandidates:
        """All timed candidates, each with its time alone where it was not seen."""
        return {spec: tuple(self._expected(way, 1.0) for way in ways) for spec, ways in self._alone.items()}

    def timed_candidates(self) -> TimedCandidates:
        """All timed candidates with the times that are expected."""
        ratios = {spec: self._ratios(ways) for spec, ways in self._alone.items()}
        usual = median([median(found) for found in ratios.values() if found] or [1.0])
        return {
            spec: tuple(self._expected(way, median(ratios[spec] or [usual])) for way in ways)
            for spec, ways in self._alone.items()
        }

    def _time(self, candidate: Candidate) -> float:
        return median(self._seen[candidate])

    def _ratios(self, ways: Sequence[TimedCandidate]) -> list[float]:
        known = [way for way in ways if way.candidate in self._seen and way.time_s > 0]
        return [self._time(way.candidate) / way.time_s for way in known]

    def _expected(self, way: TimedCandidate, ratio: float) -> TimedCandidate:
        if way.candidate not in self._seen:
            return replace(way, time_s=way.time_s * ratio)
        return replace(way, time_s=self._time(way.candidate), sample_id=self._newest[way.candidate])
