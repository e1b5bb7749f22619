from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from explorer.front.pareto import dominated, spread

POINTS = st.lists(st.tuples(*[st.integers(1, 6)] * 3), min_size=1, max_size=12)


def beats(one: tuple[int, ...], other: tuple[int, ...]) -> bool:
    return one != other and all(a <= b for a, b in zip(one, other, strict=True))


@given(POINTS)
def test_dominated_is_what_its_definition_says(points: list[tuple[int, ...]]) -> None:
    expected = [any(beats(other, one) for other in points) for one in points]
    assert dominated(np.array(points, dtype=float)).tolist() == expected


def test_equal_rows_do_not_beat_each_other() -> None:
    assert not dominated(np.ones((2, 3))).any()


@given(POINTS, st.integers(3, 12))
def test_a_spread_has_the_best_of_each_column_and_no_row_twice(
    points: list[tuple[int, ...]], count: int
) -> None:
    values = np.array(points, dtype=float)
    rows = spread(values, count)
    assert len(set(rows)) == len(rows) == min(count, len(points))
    assert list(rows) == sorted(rows)
    assert (values[list(rows)].min(axis=0) == values.min(axis=0)).all()


def test_a_spread_takes_the_farthest_rather_than_a_neighbour() -> None:
    values = np.array([[1.0, 100.0], [1.01, 99.0], [10.0, 10.0], [100.0, 1.0]])
    assert spread(values, 3) == (0, 2, 3)
