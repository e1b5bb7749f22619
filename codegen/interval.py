"""Ranges of numbers: between which two ends a computation's results lie, from those of what it reads."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import product
from typing import NamedTuple


class Interval(NamedTuple):
    """Every number of a tensor that is one lies in [low, high]; the ends may be infinite."""

    low: float
    high: float


ANYTHING = Interval(-math.inf, math.inf)


def hull(*intervals: Interval) -> Interval:
    """The smallest interval that holds all."""
    return Interval(min(i.low for i in intervals), max(i.high for i in intervals))


def monotone(function: Callable[..., float], *arguments: Interval) -> Interval:
    """The range of a function that rises or falls in each argument: it takes its ends at ends of theirs.

    Where an end is no number (inf - inf), or cannot be computed, nothing is known.
    """
    try:
        ends = [function(*point) for point in product(*arguments)]
    except (OverflowError, ValueError, ZeroDivisionError):
        return ANYTHING
    return ANYTHING if any(map(math.isnan, ends)) else Interval(min(ends), max(ends))
