from __future__ import annotations

import numpy as np
import pytest

from cost_models.model import Prediction
from explorer.strategies.expected_gain import INTERVAL, expected_improvement


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
