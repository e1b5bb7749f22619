from __future__ import annotations

import pytest

from explorer.errors import BudgetError
from explorer.search.budget import Budget, Left, parse_budget


@pytest.mark.parametrize(
    ("text", "budget"),
    [
        (None, Budget()),
        ("400", Budget(measurements=400)),
        ("90s", Budget(seconds=90)),
        ("5m", Budget(seconds=300)),
        ("1.5h", Budget(seconds=5400)),
    ],
)
def test_measurements_and_times(text: str | None, budget: Budget) -> None:
    assert parse_budget(text) == budget
    assert parse_budget(budget.text) == budget


@pytest.mark.parametrize("text", ["0", "0s", "", "-4", "1.5", "5 minutes", "inf", "4d"])
def test_nothing_and_nonsense_are_refused(text: str) -> None:
    with pytest.raises(BudgetError, match="400"):
        parse_budget(text)


def test_time_runs_out() -> None:
    now = [10.0]
    left = Left(Budget(seconds=5), lambda: now[0])
    assert left.measurements == float("inf") and left.seconds == 5
    now[0] = 15.5
    assert left.measurements == 0 and left.seconds == 0
