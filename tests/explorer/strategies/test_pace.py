"""When a search of noisy times stops believing in promises."""

from __future__ import annotations

from dataclasses import replace

from explorer.strategies.pace import CLOCKED, EXACT

PACE = replace(CLOCKED, patience=50, worth=0.01)


def test_patience_lasts_as_long_as_enough_is_gained() -> None:
    assert not PACE.is_over([])
    assert not PACE.is_over([(0, 5.0), (40, 5.0)])
    assert not PACE.is_over([(0, 5.0), (40, 4.96), (60, 4.94)])
    assert PACE.is_over([(0, 5.0), (40, 4.96), (60, 4.96)])
    assert not PACE.is_over([(0, 5.0), (40, 4.96), (60, 4.96), (100, 4.9)])


def test_a_plan_that_was_believed_to_be_faster_than_it_is_does_not_end_it() -> None:
    assert not PACE.is_over([(0, 4.0), (60, 5.0)])
    assert PACE.is_over([(0, 4.0), (60, 5.0), (120, 5.01)])


def test_where_times_are_exact_there_is_no_end_to_it() -> None:
    assert not EXACT.is_over([(0, 5.0), (10_000, 5.0)])
