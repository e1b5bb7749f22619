from __future__ import annotations

from statistics import correlation, mean

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cost_models.errors import CostModelError
from cost_models.metrics import mape, spearman, top_regret

PAIRS = st.lists(
    st.tuples(st.integers(1, 9).map(float), st.integers(1, 9).map(float)), min_size=3, max_size=30
).filter(lambda pairs: len({a for a, _ in pairs}) > 1 and len({b for _, b in pairs}) > 1)


def test_mape_of_known_values() -> None:
    assert mape([110, 90], [100, 100]) == pytest.approx(0.1)


def test_regret_is_what_trusting_the_model_costs() -> None:
    assert top_regret([1, 2, 3], [12, 10, 20]) == pytest.approx(0.2)
    assert top_regret([2, 1, 3], [12, 10, 20]) == 0.0


@given(PAIRS)
def test_spearman_is_the_correlation_of_ranks_with_ties_sharing_their_mean(
    pairs: list[tuple[float, float]],
) -> None:
    left, right = [a for a, _ in pairs], [b for _, b in pairs]
    ranks = [[mean(sorted_ranks(values, value)) for value in values] for values in (left, right)]
    assert spearman(left, right) == pytest.approx(correlation(*ranks))


def sorted_ranks(values: list[float], value: float) -> list[int]:
    """Every place that a value takes in the order."""
    return [place for place, other in enumerate(sorted(values)) if other == value]


def test_a_constant_has_no_rank_correlation() -> None:
    assert spearman([1, 1, 1], [1, 2, 3]) == 0.0


@pytest.mark.parametrize(
    ("predicted", "measured"), [([1.0], [1.0, 2.0]), ([], []), ([1.0], [0.0]), ([float("nan")], [1.0])]
)
def test_what_cannot_be_compared_is_refused(predicted: list[float], measured: list[float]) -> None:
    with pytest.raises(CostModelError):
        mape(predicted, measured)
