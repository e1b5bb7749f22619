from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from codegen.algorithm import algorithms
from cost_models.model import Prediction
from explorer.search.layer_search import LayerSearch, SearchSettings
from explorer.strategies.expected_gain import INTERVAL, LEAST, _Batch, _Chance, expected_improvement
from microbench.profile import load_profile
from tests.codegen.layers import inferred_layer, sum_of_two


@pytest.mark.parametrize(("limit_s", "low_s"), [(0.5, 0.6), (1.0, 0.5), (1.3, 0.8), (2.0, 0.9)])
def test_the_closed_form_is_the_mean_of_draws(limit_s: float, low_s: float) -> None:
    deviation = -np.log(low_s) / INTERVAL
    times_s = np.exp(np.random.default_rng(1).normal(0.0, deviation, 400_000))
    drawn = np.maximum(0.0, limit_s - times_s).mean()
    assert expected_improvement(Prediction(1.0, low_s, 1 / low_s), [limit_s]) == pytest.approx(
        drawn, rel=0.02, abs=1e-5
    )


def test_nothing_is_gained_where_nothing_may_be_saved() -> None:
    assert expected_improvement(Prediction(1.0, 0.1, 3.0), [0.0]) == 0.0
    assert expected_improvement(Prediction(1.0, 0.1, 3.0), [-1.0]) == 0.0


def test_a_layer_that_plans_take_in_chains_alone_is_levelled_without_any_time_of_its_own() -> None:
    target = load_profile("pi-zero").target()
    spec = inferred_layer(sum_of_two(), (1, 8, 9, 9), (1, 8, 9, 9))
    layer = LayerSearch(spec, algorithms().values(), target, SearchSettings())
    assert not layer.fastest
    state: Any = SimpleNamespace(
        measured_programs=lambda _: set(),
        required=(layer,),
        layer_of=lambda _: layer,
        decide=lambda request: request,
        program=lambda candidate: candidate.hash,
    )
    batch = _Batch(state, [])
    slower = Prediction(2.0, 1.0, 3.0)
    batch.level([_Chance(layer, candidate, slower, 0.0) for candidate in layer.candidates])
    assert len(batch.requests) == LEAST
