"""Which timed candidates are worth timing under other profiles, and those times put together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from codegen.schedule import Candidate
from explorer.compose.timed_candidates import Interface, TimedCandidate, TimedCandidates
from microbench.store import Sample

# What is slower than the best of its interface by more than this is not taken into the composition: between the
# profiles that there are, candidates of one layer overtake each other by less.
WITHIN = 1.5


def contenders(timed_candidates: TimedCandidates) -> TimedCandidates:
    """Of each layer and interface the candidates within WITHIN times the fastest."""
    return {spec: tuple(_close(ways)) for spec, ways in timed_candidates.items()}


def timed_anew(timed_candidates: TimedCandidates) -> tuple[Candidate, ...]:
    """The candidates whose times come from the simulator and may therefore be others under another profile."""
    return tuple(
        dict.fromkeys(
            way.candidate for ways in timed_candidates.values() for way in ways if way.kind == "simulated"
        )
    )


def with_samples(timed_candidates: TimedCandidates, samples: Iterable[Sample]) -> TimedCandidates:
    """The same candidates with the times of these samples, those that have none with their own.

    A candidate that does not work in a sample is left out.
    """
    known = {sample.candidate: sample for sample in samples}
    return {
        spec: tuple(
            _timed(way, known)
            for way in ways
            if way.candidate not in known or known[way.candidate].status == "ok"
        )
        for spec, ways in timed_candidates.items()
    }


def common(every: Iterable[TimedCandidates]) -> tuple[TimedCandidates, ...]:
    """Each without the candidates that some other lacks: what does not work everywhere is no choice."""
    found = tuple(every)
    held = [{way.candidate for ways in one.values() for way in ways} for one in found]
    shared = set.intersection(*held) if held else set()
    return tuple(
        {spec: tuple(way for way in ways if way.candidate in shared) for spec, ways in one.items()}
        for one in found
    )


def _close(ways: Iterable[TimedCandidate]) -> Iterable[TimedCandidate]:
    listed = tuple(ways)
    best: dict[tuple[Interface, int], float] = {}
    for way in listed:
        rivals = Interface.of(way.candidate), way.threads
        best[rivals] = min(best.get(rivals, way.time_s), way.time_s)
    return (way for way in listed if way.time_s <= WITHIN * best[Interface.of(way.candidate), way.threads])


def _timed(way: TimedCandidate, known: Mapping[Candidate, Sample]) -> TimedCandidate:
    if way.candidate not in known:
        return way
    return replace(way, time_s=known[way.candidate].time_s)
