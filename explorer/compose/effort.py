"""How much a composition may look at: counted, so that the same inputs give the same plan on every machine."""

from __future__ import annotations

import time

UNITS_PER_SECOND = 100_000  # of one core of a server of 2023, about
FIRST_ANSWER_S = 40.0  # beyond the effort allowed, for a first answer where there is none
MOVE_UNITS = 5  # what it takes to look at one move of a beam, in ways that are put before a state of a table


class Effort:
    """Work that is left: units for about `seconds` of one core; none either once `wall_s` have gone by, if given, and
    then what is found depends on the machine.
    """

    def __init__(self, seconds: float, wall_s: float | None = None) -> None:
        self._left = seconds * UNITS_PER_SECOND
        self._end_s = None if wall_s is None else time.monotonic() + wall_s
        self._whole: Effort | None = None

    def share(self, part: float) -> Effort:
        """Effort for so much of what is left here; what is spent of it is spent here."""
        found = Effort(part * self._left / UNITS_PER_SECOND)
        found._end_s, found._whole = self._end_s, self
        return found

    def spend(self, units: int) -> None:
        """Takes note of work that was done."""
        self._left -= units
        if self._whole is not None:
            self._whole.spend(units)

    def is_spent(self) -> bool:
        """Whether nothing is left."""
        return self._left < 0 or (self._end_s is not None and time.monotonic() > self._end_s)

    def is_overdrawn(self) -> bool:
        """Whether so much more was spent that no answer is worth waiting for."""
        return self._left < -FIRST_ANSWER_S * UNITS_PER_SECOND
