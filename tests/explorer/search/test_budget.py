from __future__ import annotations

import pytest

from codegen.expression import RESULT
from codegen.operators.elementwise import Map
from codegen.schedule import Candidate, Choice
from explorer.errors import BudgetError
from explorer.search.budget import Budget, Left, parse_budget
from explorer.search.request import Request
from tests.codegen.layers import inferred_layer

CANDIDATE = Candidate(
    inferred_layer(Map(RESULT), (1, 4, 3, 3)), Choice("cpu", "plain", (), (), ("nchw",), ("nchw",))
)


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


def _requests(*flags: tuple[bool, bool]) -> list[Request]:
    return [
        Request(CANDIDATE, str(place), is_needed=needed, can_wait=waits)
        for place, (needed, waits) in enumerate(flags)
    ]


@pytest.mark.parametrize(
    ("most", "flags", "expected"),
    [
        (None, [(False, False), (True, True)], "0"),  # there is room for it later
        (2, [(False, False), (True, True)], "0"),
        (1, [(False, False), (True, True)], "1"),  # now or never
        (None, [(True, True), (True, True)], "01"),  # nothing else is asked for
        (2, [(False, False), (True, False), (True, True)], "12"),
    ],
)
def test_what_can_wait_is_measured_last_or_while_there_is_room(
    most: int | None, flags: list[tuple[bool, bool]], expected: str
) -> None:
    due = Left(Budget(measurements=most)).within(_requests(*flags))
    assert "".join(request.reason for request in due) == expected


def test_what_can_wait_is_measured_when_time_is_over() -> None:
    left = Left(Budget(seconds=1.0), clock=iter([0.0, 2.0]).__next__)
    assert [r.reason for r in left.within(_requests((False, False), (True, True)))] == ["1"]
