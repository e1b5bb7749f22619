from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from codegen.algorithm import algorithms
from codegen.schedule import Candidate, Work
from cost_models.model import Prediction
from explorer.compose.timed_candidates import threads_of
from explorer.search.budget import Budget, Left
from explorer.search.layer_search import LayerSearch, SearchSettings
from explorer.strategies.expected_gain import (
    _Batch,
    _Chance,
    _unmeasured,
    expected_improvement,
)
from explorer.strategies.pace import EXACT
from microbench.board import Fingerprint
from microbench.profile import load_profile
from microbench.store import Sample
from tests.codegen.layers import inferred_layer, sum_of_two

BOARD = Fingerprint("virtual", "hash", 250e6, "simulator")


@pytest.mark.parametrize(("limit_s", "low_s"), [(0.5, 0.6), (1.0, 0.5), (1.3, 0.8), (2.0, 0.9)])
def test_the_closed_form_is_the_mean_of_draws(limit_s: float, low_s: float) -> None:
    deviation = -np.log(low_s) / EXACT.interval
    times_s = np.exp(np.random.default_rng(1).normal(0.0, deviation, 400_000))
    drawn = np.maximum(0.0, limit_s - times_s).mean()
    assert expected_improvement(Prediction(1.0, low_s, 1 / low_s), [limit_s]) == pytest.approx(
        drawn, rel=0.02, abs=1e-5
    )


def test_nothing_is_gained_where_nothing_may_be_saved() -> None:
    assert expected_improvement(Prediction(1.0, 0.1, 3.0), [0.0]) == 0.0
    assert expected_improvement(Prediction(1.0, 0.1, 3.0), [-1.0]) == 0.0


def _layer(settings: SearchSettings | None = None) -> LayerSearch:
    target = load_profile("pi-zero").target()
    spec = inferred_layer(sum_of_two(), (1, 8, 9, 9), (1, 8, 9, 9))
    return LayerSearch(spec, algorithms().values(), target, settings or SearchSettings())


def _batch(layer: LayerSearch, measured: Sequence[Candidate] = (), occurrences: int = 1) -> _Batch:
    state: Any = SimpleNamespace(
        occurrences=Counter({layer.spec: occurrences}),
        best_s=1.0,
        measured_programs=lambda _: {candidate.hash for candidate in measured},
        required=(layer,),
        samples=(),
        at_once=1,
        reads_clock=False,
        layer_of=lambda _: layer,
        decide=lambda request: request,
        program=lambda candidate: candidate.hash,
    )
    return _Batch(state, [])


def _chances(layer: LayerSearch, gain: float, at_s: float = 2.0) -> list[_Chance]:
    return [
        _Chance(layer, candidate, Prediction(at_s, at_s / 2, at_s * 2), gain / (1 + place))
        for place, candidate in enumerate(layer.candidates)
    ]


def test_a_layer_that_plans_take_in_chains_alone_is_levelled_without_any_time_of_its_own() -> None:
    layer = _layer()
    assert not layer.fastest
    batch = _batch(layer)
    batch.level(_chances(layer, 0.0), [])
    assert len(batch.requests) == EXACT.least


def test_when_time_is_over_a_layer_without_any_time_of_its_own_is_still_measured() -> None:
    layer = _layer()
    times_s = {candidate.hash: 1.0 + place for place, candidate in enumerate(layer.candidates[::-1])}
    state: Any = SimpleNamespace(
        required=(layer,),
        predict=lambda some: [Prediction(times_s[one.hash], 0.5, 99.0) for one in some],
    )
    (request,) = _unmeasured(state)
    assert request.candidate == layer.candidates[-1]
    over = Left(Budget(seconds=1.0), clock=iter([0.0, 2.0]).__next__)
    assert over.within([request]) == [request]
    layer.record([Sample(request.candidate, BOARD, "simulated", "ok", (1.0,), Work(macs=1.0), id=1)])
    assert not _unmeasured(state)


def test_what_promises_a_little_is_measured_with_what_levels_layers_and_never_without() -> None:
    layer = _layer()
    chances = _chances(layer, 0.001)
    batch = _batch(layer)
    batch.level(chances, chances[EXACT.least :])
    promising = {chance.candidate for chance in chances[EXACT.least :]}
    assert len(batch.requests) > EXACT.least
    assert {request.candidate for request in batch.requests[EXACT.least :]} < promising
    assert all(request.can_wait for request in batch.requests)
    known = _batch(layer, [chance.candidate for chance in chances[:-1]])
    known.level([], chances)
    assert not known.requests


def test_a_promise_is_of_what_can_still_be_asked_for() -> None:
    layer = _layer()
    chances = _chances(layer, 0.002)
    assert _batch(layer).promised(chances) == 0.002
    assert _batch(layer, [chances[0].candidate]).promised(chances) == 0.001
    assert _batch(layer, layer.candidates).promised(chances) == 0.0
    spent = _layer(SearchSettings(layer_budget=0))
    assert _batch(spent).promised(_chances(spent, 0.002)) == 0.0


@pytest.mark.parametrize(("occurrences", "room"), [(0, 2), (1, 2), (3, 6)])
def test_a_layer_has_a_budget_for_each_time_that_the_network_has_it(occurrences: int, room: int) -> None:
    """None of its own: of a chain or of a change of layout, as of a layer that there is once."""
    layer = _layer(SearchSettings(layer_budget=1))
    chances = [chance for chance in _chances(layer, 0.002) if threads_of(chance.candidate) == 0]
    assert len(chances) > room
    for taken in range(len(chances)):
        batch = _batch(layer, [], occurrences)
        batch._spent[layer.spec, 0] = taken
        assert bool(batch.promised(chances)) == (taken < room)


@pytest.mark.parametrize(
    ("part", "due"), [(0.0, EXACT.least), (0.02, EXACT.least), (0.07, round(0.07 * EXACT.dealt))]
)
def test_layers_are_levelled_up_to_their_part_of_what_is_dealt_out(part: float, due: int) -> None:
    layer = _layer()
    measured = layer.candidates[: 1 if part else 0]
    layer.record([Sample(c, BOARD, "simulated", "ok", (part,), Work(macs=1.0), id=1) for c in measured])
    batch = _batch(layer, measured)
    batch.level(_chances(layer, 0.0, at_s=part or 1.0), [])
    assert EXACT.least < round(0.07 * EXACT.dealt) < len(layer.candidates)
    assert len(batch.requests) + len(measured) == due
