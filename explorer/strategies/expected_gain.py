"""Strategy `expected_gain`, the default: measures what the composed network is expected to gain most from.

In every round the network is composed of what was measured, with predictions where nothing like it was. What that plan
rests on without a measurement is measured first. Beside it, every candidate is judged by its prediction and interval:
how much faster than now the whole network would be through it, in the mean over where its time may fall (expected
improvement). The heavy layers thus get most. Candidates whose program was measured already are left out. It ends when
all layers together promise too little of the network, by what may still be asked for (`explorer.strategies.pace`).
Then whatever promises a little is measured in one round, with the candidates of layers that are predicted best, up to
a number for each layer and up to its part of what is dealt out: a layer may be better than its few samples say, and
where much time is, predictions are not good enough to tell the best of those that are close. What the plan for the CPU
alone rests on can wait until then.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from statistics import NormalDist
from typing import NamedTuple

from codegen.engine_registry import host_engines
from codegen.graph import LayerSpec
from codegen.operators.relayout import Relayout
from codegen.schedule import Candidate
from cost_models.model import Prediction
from explorer.compose.problem import Problem
from explorer.compose.steps import Prices
from explorer.compose.timed_candidates import TimedCandidate, TimedCandidates, threads_of
from explorer.errors import CompositionError
from explorer.search.budget import Left
from explorer.search.layer_search import Kind, LayerSearch, SearchSettings
from explorer.search.request import Request
from explorer.search.state import SearchState
from explorer.strategies.pace import CLOCKED, EXACT, Pace
from explorer.strategies.through import Through
from explorer.terminal.units import seconds
from microbench.store import Sample

NEGLIGIBLE = 0.01  # of what a search stops at, for a single candidate
PROMISING = 1.5  # times a layer's fastest, at most, that one of these is predicted to take
BATCH = 32  # measurements between two fits, at most
GROWTH = 8  # of what was measured, the part that may be measured between two fits where that is more
HEAVY = 2  # times the budget of a layer, at most, for each time that the network has it
NORMAL = NormalDist()
NOWHERE = -9.0  # deviations below the centre: `NORMAL.cdf` is 0 from there on
WIDEST = math.log(3.0)  # deviation in logs that is believed of an interval


class _Chance(NamedTuple):
    layer: LayerSearch
    candidate: Candidate
    predicted: Prediction
    gain: float  # of the network's time

    @property
    def algorithm(self) -> str:
        return self.candidate.choice.algorithm


class ExpectedGain:
    """See the module."""

    name = "expected_gain"
    is_stateless = True

    def __init__(self, settings: SearchSettings) -> None:
        self._settings = settings

    def ask(self, state: SearchState, budget: Left) -> Sequence[Request]:
        if any(layer.is_hopeless for layer in state.required):
            return ()
        state.predict([candidate for layer in state.every for candidate in layer.unmeasured])  # all at once
        ways = {layer.spec: tuple(_ways(layer, state)) for layer in state.every}
        through = Through(Problem(state.graph, ways, Prices(state.overheads), None))
        state.best_s = through.best_s
        pace = _pace(state)
        chances = self._chances(state, through)
        batch = _Batch(state, _needed(state, through, "the fastest plan that is expected"))
        batch.take(
            _untried(state, chances),
            lambda chance: f"fewer than {pace.tried} layers have tried its algorithm",
        )
        promising = [chance for chance in chances if chance.gain > NEGLIGIBLE * pace.stop]
        is_over = pace.is_over([*state.course, (len(state.samples), through.best_s)])
        if not is_over and (batch.requests or batch.promised(promising) >= pace.stop):
            batch.take(promising, _reason)
        elif not batch.requests:
            batch.level(chances, promising)
        return _with(batch.requests, [*_needed_alone(state, ways), *_unmeasured(state)])

    def tell(self, samples: Sequence[Sample]) -> None:
        """The state has all that this needs."""

    def _chances(self, state: SearchState, through: Through) -> list[_Chance]:
        """Every unmeasured candidate, the best first."""
        found = []
        for layer in state.layers.values():
            unknown = layer.unmeasured
            limits_s: dict[tuple[Kind, bool], list[float]] = {}
            for candidate, predicted in zip(unknown, state.predict(unknown), strict=True):
                kind = (layer.kind(candidate), predicted.time_s <= state.overheads.spin_s)
                if kind not in limits_s:
                    rests = through.rests(_stand_in(candidate, predicted.time_s))
                    limits_s[kind] = [through.best_s - rest for rest in rests]
                gain = expected_improvement(predicted, limits_s[kind], _pace(state).interval) / through.best_s
                found.append(_Chance(layer, candidate, predicted, gain))
        return sorted(found, key=lambda chance: -chance.gain)


def _pace(state: SearchState) -> Pace:
    return CLOCKED if state.reads_clock else EXACT


def _needed(state: SearchState, through: Through, plan: str) -> list[Request]:
    """What a plan rests on without a measurement."""
    reason = f"{plan} of {seconds(through.best_s)} rests on it, and nothing like it was measured"
    candidates = dict.fromkeys(step.timed.candidate for step in through.steps)
    return [Request(c, reason, is_needed=True) for c in candidates if not state.layer_of(c).knows(c)]


def _needed_alone(state: SearchState, ways: TimedCandidates) -> list[Request]:
    """The same of the plan for the CPU alone, which others are compared with where each layer has a way there."""
    if not any(way.engine.launches for found in ways.values() for way in found):
        return []
    with suppress(CompositionError):
        through = Through(Problem(state.graph, ways, Prices(state.overheads), host_engines()))
        found = _needed(state, through, "the plan for the CPU alone")
        return [replace(request, can_wait=True) for request in found]
    return []


def _unmeasured(state: SearchState) -> list[Request]:
    """Of layers that have no time yet the candidate that is expected to be fastest: chains may take their places in
    every plan, but each is composed beside the layers themselves.
    """
    found = []
    for layer in state.required:
        if not layer.timed_candidates:
            predicted = zip(state.predict(layer.unmeasured), layer.unmeasured, strict=True)
            _, candidate = min(predicted, key=lambda pair: pair[0].time_s)
            reason = "plans are composed of layers that have times, and it has none yet"
            found.append(Request(candidate, reason, is_needed=True, can_wait=True))
    return found


def _with(requests: Sequence[Request], alone: Iterable[Request]) -> list[Request]:
    """Each candidate once; what the plan for the CPU alone needs is needed, whatever else it is asked for."""
    needed = {request.candidate.hash: request for request in alone}
    found = [replace(one, is_needed=one.is_needed or one.candidate.hash in needed) for one in requests]
    for one in found:
        needed.pop(one.candidate.hash, None)
    return [*found, *needed.values()]


class _Batch:
    """Requests of a round: few of them alike, each of another program than any that was measured."""

    def __init__(self, state: SearchState, needed: Sequence[Request]) -> None:
        self._state = state
        self._pace = _pace(state)
        self._alike: Counter[tuple[LayerSpec, str, int]] = Counter()
        self._spent: Counter[tuple[LayerSpec, int]] = Counter()
        self._programs: dict[LayerSpec, set[str]] = {}
        self.requests = [state.decide(request) for request in needed]
        for request in needed:
            self._known(state.layer_of(request.candidate)).add(state.program(request.candidate))

    def promised(self, chances: Iterable[_Chance]) -> float:
        """The part of the network's time that is expected to be gained by the best candidate of every layer that there
        is room for; what is more than a search stops at may be left out.
        """
        best: dict[LayerSpec, float] = {}
        for chance in chances:
            if sum(best.values()) >= self._pace.stop:
                break
            if chance.layer.spec not in best and self._has_room(chance) and not self._is_known(chance):
                best[chance.layer.spec] = chance.gain
        return sum(best.values())

    def take(
        self, chances: Iterable[_Chance], reason: Callable[[_Chance], str], can_wait: bool = False
    ) -> None:
        """The best that there is room for; where several are measured at once, as many as leave no board idle."""
        most = len(self.requests) + max(BATCH, len(self._state.samples) // GROWTH)
        most += -most % self._state.at_once
        for chance in chances:
            if len(self.requests) == most:
                return
            if self._has_room(chance) and not self._is_known(chance):
                self._count(chance)
                self._ask(chance, reason(chance), can_wait)

    def level(self, chances: Iterable[_Chance], promising: Iterable[_Chance]) -> None:
        """The best predicted of layers of which few candidates were measured, those of chains left out; beside them
        those that promise a little.
        """
        room = {layer.spec: self._least(layer) - len(layer.samples) for layer in self._state.required}
        few = {layer.spec: layer for layer in self._state.required if room[layer.spec] > 0}
        most_s = {
            spec: PROMISING * min(layer.fastest.values(), default=math.inf) for spec, layer in few.items()
        }
        for chance in sorted(chances, key=lambda chance: chance.predicted.time_s):
            spec = chance.layer.spec
            if (
                spec not in few
                or not room[spec]
                or chance.predicted.time_s > most_s[spec]
                or self._is_known(chance)
            ):
                continue
            room[spec] -= 1
            self._ask(
                chance,
                f"few candidates of its layer were measured, of which {self._least(few[spec])} are due",
                can_wait=True,
            )
        if self.requests:
            self.take(promising, _reason, can_wait=True)

    def _least(self, layer: LayerSearch) -> int:
        """Measurements that a layer has at least, where there are so many programs."""
        pace, whole_s = self._pace, self._state.best_s or math.inf
        fastest_s = min(layer.fastest.values(), default=0.0)
        return max(pace.least, round(pace.dealt * self._state.occurrences[layer.spec] * fastest_s / whole_s))

    def _ask(self, chance: _Chance, reason: str, can_wait: bool) -> None:
        self._known(chance.layer).add(self._state.program(chance.candidate))
        request = Request(chance.candidate, reason, chance.gain, can_wait=can_wait)
        self.requests.append(self._state.decide(request))

    def _is_known(self, chance: _Chance) -> bool:
        return self._state.program(chance.candidate) in self._known(chance.layer)

    def _has_room(self, chance: _Chance) -> bool:
        layer, lane = chance.layer, threads_of(chance.candidate)
        spent = layer.spent(lane) + self._spent[layer.spec, lane]
        alike = self._alike[layer.spec, chance.candidate.choice.algorithm, lane]
        most = HEAVY * layer.settings.layer_budget * max(1, self._state.occurrences[layer.spec])
        return alike < self._pace.alike and spent < most

    def _count(self, chance: _Chance) -> None:
        lane = threads_of(chance.candidate)
        self._alike[chance.layer.spec, chance.candidate.choice.algorithm, lane] += 1
        self._spent[chance.layer.spec, lane] += 1

    def _known(self, layer: LayerSearch) -> set[str]:
        if layer.spec not in self._programs:
            self._programs[layer.spec] = self._state.measured_programs(layer)
        return self._programs[layer.spec]


def expected_improvement(
    predicted: Prediction, limits_s: Iterable[float], interval: float = EXACT.interval
) -> float:
    """The mean of what a time falls short of limits, in seconds, their sum; the time is taken to be lognormal, its
    median predicted, `interval` its deviations from there to the end of the predicted one.

    >>> expected_improvement(Prediction(1.0, 0.5, 2.0), [0.0])
    0.0
    >>> round(expected_improvement(Prediction(1.0, 1.0, 1.0), [1.5, 2.0]), 6)
    1.5
    """
    if predicted.time_s <= 0:
        return sum(max(0.0, limit_s) for limit_s in limits_s)
    centre = math.log(predicted.time_s)
    low = centre - math.log(max(predicted.low_s, 1e-12))
    deviation = min(WIDEST, max(1e-6, low / interval))
    mean = math.exp(centre + deviation**2 / 2)
    gain = 0.0
    for limit_s in limits_s:
        if limit_s > 0:
            place = (math.log(limit_s) - centre) / deviation
            if place > NOWHERE:
                gain += max(0.0, limit_s * NORMAL.cdf(place) - mean * NORMAL.cdf(place - deviation))
    return gain


def _untried(state: SearchState, chances: Iterable[_Chance]) -> Iterator[_Chance]:
    """The best of algorithms that few layers have tried, those of the prior too, one a layer."""
    tried: dict[str, set[LayerSpec]] = {}
    measured = [sample.candidate for sample in state.samples]
    for candidate in (*measured, *(known.candidate for known in state.prior)):
        tried.setdefault(candidate.choice.algorithm, set()).add(candidate.spec)
    for chance in chances:
        layers = tried.setdefault(chance.algorithm, set())
        if len(layers) < _pace(state).tried and chance.layer.spec not in layers:
            layers.add(chance.layer.spec)
            yield chance


def _ways(layer: LayerSearch, state: SearchState) -> Iterator[TimedCandidate]:
    """What was measured, and where nothing of an interface and lane was, the best that is predicted; a change of layout
    that nobody measured takes as little as it may.
    """
    is_change = isinstance(layer.spec.op, Relayout)
    yield from layer.timed_candidates
    measured = {layer.kind(timed.candidate) for timed in layer.timed_candidates}
    best: dict[Kind, TimedCandidate] = {}
    unknown = layer.unmeasured
    for candidate, predicted in zip(unknown, state.predict(unknown), strict=True):
        kind = layer.kind(candidate)
        if kind in measured:
            continue
        time_s = predicted.low_s if is_change else predicted.time_s
        if kind not in best or time_s < best[kind].time_s:
            best[kind] = _stand_in(candidate, time_s)
    yield from best.values()


def _stand_in(candidate: Candidate, time_s: float) -> TimedCandidate:
    return TimedCandidate(candidate, time_s, "modelled", 0)


def _reason(chance: _Chance) -> str:
    p = chance.predicted
    return (
        f"the network gains {100 * chance.gain:.2g} % in the mean: predicted {seconds(p.time_s)}, "
        f"{seconds(p.low_s)} to {seconds(p.high_s)}"
    )
