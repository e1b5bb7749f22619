"""Where launches end: each keeps to the seconds and the marks that its engine allows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


@dataclass(frozen=True)
class LaunchLimits:
    """What one launch may hold: so many seconds, as they are predicted, and so many marks, of which every phase of a
    layer has one.
    """

    seconds: float
    marks: int


class Piece(NamedTuple):
    """What a launch holds whole: a layer, or a part of one that is divided."""

    seconds: float
    marks: int


class Filling:
    """Fills launches of one run, one after another, each with all that it may hold."""

    def __init__(self, limits: LaunchLimits) -> None:
        self._limits = limits
        self._taken: Piece | None = None

    def starts(self, piece: Piece) -> bool:
        """Takes the next piece; whether a launch starts with it."""
        if self._taken is not None:
            more = Piece(self._taken.seconds + piece.seconds, self._taken.marks + piece.marks)
            if more.seconds <= self._limits.seconds and more.marks <= self._limits.marks:
                self._taken = more
                return False
        self._taken = piece
        return True
