"""Strategy `successive`: a spread over every layer's candidates, then rounds of all that may beat what is known.

Every layer has the same budget in each of its lanes (the QPUs, or a number of CPU threads), and every layout and lane
is searched for its own sake: what a front or a plan under caps chooses among.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from codegen.schedule import Candidate
from explorer.compose.timed_candidates import Interface, threads_of
from explorer.search.budget import Left
from explorer.search.candidate_pool import CandidatePool
from explorer.search.layer_search import LayerSearch, Predict, SearchSettings
from explorer.search.request import Request
from explorer.search.state import SearchState
from explorer.strategies.ceilings import Ceilings
from microbench.store import Sample

Ceiling = Callable[[Candidate], float]
_Rivals = tuple[Interface, int]


class Successive:
    """First layers, then changes of layout, then rounds over all of them."""

    name = "successive"
    is_stateless = False

    def __init__(self, settings: SearchSettings) -> None:
        self._settings = settings
        self._steps = self._phases()
        self._state: SearchState

    def ask(self, state: SearchState, budget: Left) -> Sequence[Request]:
        self._state = state
        return next((requests for requests in self._steps if requests), ())

    def tell(self, samples: Sequence[Sample]) -> None:
        """The state has all that this needs."""

    def _phases(self) -> Iterator[Sequence[Request]]:
        yield self._first(self._state.layers.values())
        yield self._first(self._state.relayouts.values())
        for number in range(1, self._settings.rounds + 1):
            every = self._state.every
            ceilings = Ceilings(every)
            picks = [(layer, doubtful(layer, self._state.predict, ceilings.of(layer))) for layer in every]
            if not any(chosen for _, chosen in picks):
                return
            reason = f"round {number}: its lowest prediction beats the best of its layouts and lane"
            yield [Request(candidate, reason) for _, chosen in picks for candidate in chosen]
            for layer, chosen in picks:
                if chosen:
                    layer.extend(self._state.predict, first=False)

    def _first(self, layers: Iterable[LayerSearch]) -> Sequence[Request]:
        return [
            Request(candidate, "first spread over predicted times", is_needed=True)
            for layer in layers
            for candidate in first_picks(layer, self._state.predict)
        ]


def first_picks(layer: LayerSearch, predict: Predict) -> tuple[Candidate, ...]:
    """A spread of each algorithm, in each lane, over its predicted times: the best, the worst and evenly between.

    Equal ones are in the order of their space. Every algorithm's best comes before any other; what exceeds a
    lane's budget is left out.
    """
    initial = layer.settings.initial
    spreads = [spread for pool in layer.pools for spread in _spreads(pool, initial, predict)]
    picks: dict[Candidate, None] = {}
    for turn in range(initial):
        due = [spread[turn] for spread in spreads if turn < len(spread)]
        picks |= dict.fromkeys(ranked(due, predict))
    left = dict(_left(layer))
    chosen = []
    for candidate in picks:
        left[threads_of(candidate)] -= 1
        if left[threads_of(candidate)] >= 0:
            chosen.append(candidate)
    return tuple(chosen)


def doubtful(
    layer: LayerSearch, predict: Predict, ceiling: Ceiling = lambda _: float("inf")
) -> tuple[Candidate, ...]:
    """Unmeasured candidates that may beat the best of their interface and lane, the most promising first.

    Of equal ones the first of its space; at most a batch per lane, and never more than what is left of its
    budget. `ceiling`: the time that a candidate has to beat to be worth anything, whatever its rivals take.
    """
    unknown = layer.unmeasured
    predictions = dict(zip((c.hash for c in unknown), predict(unknown), strict=True))
    best = _best_of_rivals(layer)
    promising = sorted(
        (
            c
            for c in unknown
            if predictions[c.hash].low_s < min(best.get(_rivals(c), float("inf")), ceiling(c))
        ),
        key=lambda c: predictions[c.hash].low_s,
    )
    picks: list[Candidate] = []
    for lane, left in _left(layer).items():
        own = [c for c in promising if threads_of(c) == lane]
        picks += own[: max(0, min(left, layer.settings.batch))]
    return tuple(picks)


def ranked(candidates: Sequence[Candidate], predict: Predict) -> list[Candidate]:
    """By predicted time; equal ones in order."""
    predictions = predict(candidates)
    order = sorted(range(len(candidates)), key=lambda i: predictions[i].time_s)
    return [candidates[i] for i in order]


def _spreads(pool: CandidatePool, initial: int, predict: Predict) -> Iterator[list[Candidate]]:
    for lane in sorted({threads_of(candidate) for candidate in pool.candidates}):
        own = ranked([c for c in pool.candidates if threads_of(c) == lane], predict)
        count = min(initial, len(own))
        places = [round(i * (len(own) - 1) / max(1, count - 1)) for i in range(count)]
        yield [own[place] for place in places]


def _best_of_rivals(layer: LayerSearch) -> Mapping[_Rivals, float]:
    best: dict[_Rivals, float] = {}
    for timed in layer.timed_candidates:
        rivals = _rivals(timed.candidate)
        best[rivals] = min(best.get(rivals, float("inf")), timed.time_s)
    return {rivals: time_s * (1 - layer.settings.worthwhile) for rivals, time_s in best.items()}


def _left(layer: LayerSearch) -> Mapping[int, int]:
    spent = dict.fromkeys(sorted({threads_of(candidate) for candidate in layer.candidates}), 0)
    for sample in layer.samples:
        spent[threads_of(sample.candidate)] += 1
    return {lane: layer.settings.layer_budget - count for lane, count in spent.items()}


def _rivals(candidate: Candidate) -> _Rivals:
    """What candidates have in common that are worth having for nothing but their speed."""
    return Interface.of(candidate), threads_of(candidate)
