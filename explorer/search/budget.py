"""How much a whole search may spend: measurements, or time."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from explorer.errors import BudgetError
from explorer.search.request import Request

_TEXT = re.compile(r"(?P<number>\d{1,9}(?:\.\d{1,6})?)(?P<unit>s|m|h)?")
_SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0}


@dataclass(frozen=True)
class Budget:
    """Of a whole search; None: no limit. `measurements` counts known ones too, so that resuming changes nothing;
    `seconds` of the clock on the wall.

    Raises BudgetError for a budget of nothing.
    """

    measurements: int | None = None
    seconds: float | None = None

    def __post_init__(self) -> None:
        if any(limit is not None and not limit > 0 for limit in (self.measurements, self.seconds)):
            raise BudgetError(f"a budget of nothing finds nothing: {_HOW}")

    @property
    def text(self) -> str | None:
        """As `parse_budget` takes it; None where there is no limit."""
        if self.measurements is not None:
            return str(self.measurements)
        return None if self.seconds is None else f"{self.seconds:g}s"


_HOW = "give --budget a number of measurements, as in 400, or a time, as in 90s, 5m or 1h; without it there is no limit"


def parse_budget(text: str | None) -> Budget:
    """What --budget says, None: no limit. Raises BudgetError for nothing, and for what is no budget."""
    if text is None:
        return Budget()
    match = _TEXT.fullmatch(text.strip())
    if match is None:
        raise BudgetError(f"--budget {text!r} is malformed: {_HOW}")
    number, unit = float(match["number"]), match["unit"]
    if unit is not None:
        return Budget(seconds=number * _SECONDS[unit])
    if number != int(number):
        raise BudgetError(f"--budget {text!r} is no whole number of measurements: {_HOW}")
    return Budget(measurements=int(number))


class Left:
    """What is left of a budget while a search goes on."""

    def __init__(self, budget: Budget, clock: Callable[[], float] = time.monotonic) -> None:
        self._most = math.inf if budget.measurements is None else budget.measurements
        self._end = math.inf if budget.seconds is None else clock() + budget.seconds
        self._clock = clock
        self._spent = 0

    @property
    def measurements(self) -> float:
        """How many there are still to be had; 0 when time is over."""
        return max(0.0, self._most - self._spent) if self.seconds > 0 else 0.0

    @property
    def seconds(self) -> float:
        """How long it may still go on."""
        return math.inf if self._end == math.inf else max(0.0, self._end - self._clock())

    @property
    def text(self) -> str:
        """What is left, in words; empty where there is no limit."""
        if self._end < math.inf:
            return f"{self.seconds:.0f} s left"
        return f"{self.measurements:.0f} measurements left" if self._most < math.inf else ""

    def within(self, requests: Sequence[Request]) -> Sequence[Request]:
        """What of the requests there is to be had, without those that can wait while there is more than enough for all.
        When time is over a plan is still made: what it needs is measured.

        Raises BudgetError where there are too few measurements for that.
        """
        needed = [request for request in requests if request.is_needed]
        if self.seconds <= 0:
            return needed
        if len(needed) > self._most - self._spent:
            raise BudgetError(
                f"a plan needs at least {self._spent + len(needed)} measurements, --budget allows {self._most:.0f}: "
                "allow more"
            )
        due = [request for request in requests if not request.can_wait]
        if due and len(requests) <= self.measurements:
            return due
        first = sorted(requests, key=lambda request: not request.is_needed)
        return first[: int(min(self.measurements, len(first)))]

    def spend(self, measurements: int) -> None:
        """So many were made."""
        self._spent += measurements
