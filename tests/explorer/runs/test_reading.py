from __future__ import annotations

import pytest

from explorer.runs.reading import alike, more_text


@pytest.mark.parametrize(("one", "other"), [(1.0, 1.0), (100.0, 99.5), (99.5, 100.0), (0.0, 0.0)])
def test_what_differs_by_less_than_a_hundredth_is_alike(one: float, other: float) -> None:
    assert alike(one, other)


@pytest.mark.parametrize(("one", "other"), [(1.0, 1.02), (0.0, 1e-9), (100.0, 98.5)])
def test_what_differs_by_more_is_not(one: float, other: float) -> None:
    assert not alike(one, other)


def test_more_is_said_in_percent_and_from_double_on_as_a_factor() -> None:
    assert more_text(1.123, 1.0) == "12 % more"
    assert more_text(4.8, 1.0) == "4.8 times as much"
