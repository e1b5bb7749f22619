"""Kernel ridge regression on landmarks, against the same regression solved in full."""

from __future__ import annotations

import numpy as np
import pytest

from cost_models import smooth
from cost_models.errors import CostModelError
from cost_models.smooth import LANDMARKS, REACH, RIDGE, Smooth

NAMES = ("flow.a", "share.b", "work.c", "is.d")


def rows(count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Columns, of which the third is of no name that counts and the last always the same; target and weights."""
    numbers = np.random.default_rng(0)
    matrix = numbers.normal(size=(count, 4))
    matrix[:, 3] = 1.0
    return matrix, np.sin(matrix[:, 0]) + 0.3 * matrix[:, 1], numbers.uniform(0.2, 1.0, count)


def test_with_every_row_a_landmark_it_is_the_regression_on_all() -> None:
    matrix, target, weights = rows(LANDMARKS // 2)
    scaled = (matrix[:, :2] - matrix[:, :2].mean(axis=0)) / matrix[:, :2].std(axis=0)
    distance = np.sqrt(3.0) / REACH * np.linalg.norm(scaled[:, None] - scaled, axis=2)
    bumps = (1 + distance) * np.exp(-distance)
    level = np.average(target, weights=weights)
    heights = np.linalg.solve(bumps + np.diag(RIDGE / weights), target - level)
    found, _ = Smooth.fit(matrix, target, weights, NAMES).predict(matrix)
    assert found == pytest.approx(level + bumps @ heights, abs=0.02)


def test_landmarks_stand_for_more_rows_than_there_are_of_them() -> None:
    matrix, target, weights = rows(3 * LANDMARKS)
    fitted = Smooth.fit(matrix, target, weights, NAMES)
    assert len(fitted.landmarks) <= LANDMARKS
    assert np.median(np.abs(fitted.predict(matrix)[0] - target)) < 0.02


def test_what_is_far_from_all_rows_is_new_and_a_landmark_is_not() -> None:
    matrix, target, weights = rows(40)
    far = np.full((1, 4), 50.0)
    _, newness = Smooth.fit(matrix, target, weights, NAMES).predict(np.concatenate([matrix, far]))
    assert newness[:-1].max() < 0.1 < newness[-1] <= 1.0


def test_a_row_is_told_alike_whatever_else_is_asked() -> None:
    matrix, target, weights = rows(2 * smooth.BLOCK + 5)
    fitted = Smooth.fit(matrix, target, weights, NAMES)
    together = fitted.predict(matrix)
    alone = [fitted.predict(matrix[i : i + 1]) for i in range(len(matrix))]
    assert [float(value[0]) for value, _ in alone] == together[0].tolist()
    assert [float(newness[0]) for _, newness in alone] == together[1].tolist()


def test_its_state_restores_it_and_parts_of_others_are_refused() -> None:
    matrix, target, weights = rows(30)
    fitted = Smooth.fit(matrix, target, weights, NAMES)
    assert Smooth.of_state(fitted.state).predict(matrix)[0].tolist() == fitted.predict(matrix)[0].tolist()
    for change in ({"columns": (0,)}, {"heights": fitted.state.heights[1:]}):
        with pytest.raises(CostModelError, match="contradict each other"):
            Smooth.of_state(fitted.state.model_copy(update=change))


def test_columns_that_are_all_the_same_leave_the_level_alone() -> None:
    matrix, target, weights = np.ones((12, 4)), np.arange(12.0), np.ones(12)
    values, newness = Smooth.fit(matrix, target, weights, NAMES).predict(matrix)
    assert values == pytest.approx(np.full(12, 5.5), abs=0.1)
    assert newness.max() < 0.1
