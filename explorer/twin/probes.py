"""Few questions to a board, one after another: each of the candidate that the plan may gain most from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from statistics import NormalDist

from codegen.graph import LayerSpec
from codegen.schedule import Candidate
from explorer.compose.compose import Composition
from explorer.compose.timed_candidates import TimedCandidates
from explorer.search.search import SearchResult
from explorer.twin.correction import Correction
from explorer.twin.search import Compose, Measure
from explorer.twin.times import Corrected, Times
from microbench.profile import DeviceProfile

Through = Callable[[TimedCandidates], Mapping[Candidate, float]]
"""Seconds of the fastest network through each candidate of a layer."""
_NORMAL = NormalDist()


def probed(
    twin: SearchResult,
    profile: DeviceProfile,
    measure: Measure,
    compose: Compose,
    through: Through,
    probes: int,
) -> Corrected:
    """Asks the board of so many candidates at most; the plans are the first and the last.

    `profile`: the twin's. Raises as `measure` and `compose`.
    """
    times = Times.of(twin, profile)
    first = composed = compose(times.known())
    for _ in range(probes):
        chosen = _next(composed, through(times.known()), times.correction)
        if chosen is None:
            break
        times.take(measure([chosen]))
        composed = compose(times.known())
    return times.corrected(twin, (first, composed))


def _next(
    composed: Composition, through_s: Mapping[Candidate, float], correction: Correction
) -> Candidate | None:
    """Of the two candidates of the swap of most expected gain, the less certain one that the board was not asked of."""
    gains = {pair: gain_s for pair, gain_s in _gains(composed, through_s, correction) if gain_s > 0}
    for pair in sorted(gains, key=lambda pair: -gains[pair]):
        unknown = [c for c in pair if correction.places[c] not in correction.shares]
        if unknown:
            return max(unknown, key=lambda c: correction.uncertainty(correction.places[c]))
    return None


def _gains(
    composed: Composition, through_s: Mapping[Candidate, float], correction: Correction
) -> Iterator[tuple[tuple[Candidate, Candidate], float]]:
    """Pairs of a candidate taken and another of its layer, and the seconds that the network is expected to gain by the
    other: how much faster the network through it is, is normally distributed.
    """
    uses = Counter(step.timed.candidate for step in composed.steps if not step.is_free)
    others: dict[LayerSpec, list[Candidate]] = {}
    for candidate in through_s:
        others.setdefault(candidate.spec, []).append(candidate)
    for step in composed.steps:
        candidate = step.timed.candidate
        if candidate not in uses or candidate not in correction.places:
            continue
        for other in others.get(candidate.spec, ()):
            if other != candidate and other in correction.places:
                spread = correction.spread(correction.places[candidate], correction.places[other])
                mean_s = composed.total_s - through_s[other]
                gain_s = uses[candidate] * _expected_positive(mean_s, spread * step.time_s)
                yield (candidate, other), gain_s


def _expected_positive(mean: float, deviation: float) -> float:
    """The mean of what is above 0 of a normally distributed number."""
    if deviation <= 0:
        return max(0.0, mean)
    place = mean / deviation
    return mean * _NORMAL.cdf(place) + deviation * _NORMAL.pdf(place)
