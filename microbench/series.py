"""Quantities that a board read while it measured, each with its unit: power, a temperature, a fan's speed."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from statistics import fmean
from typing import Any

from microbench.errors import SeriesError


@dataclass(frozen=True)
class Series:
    """Readings of one quantity in the order they were taken, in `unit` ("W", "°C", "1/min").

    `times_s` says when each was taken, in seconds from the start of the measurement, never earlier than the one
    before; it is empty where the board cannot tell. Raises SeriesError for readings that contradict this.
    """

    name: str
    unit: str
    values: tuple[float, ...]
    times_s: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        for field, text in (("name", self.name), ("unit", self.unit)):
            if not isinstance(text, str) or not text.strip() or not text.isprintable():
                raise SeriesError(f"a series of readings needs a {field}, not {text!r}")
        place = f"series {self.name!r}"
        if not self.values:
            raise SeriesError(f"{place} has no values; leave out a series without readings")
        for number in (*self.values, *self.times_s):
            if isinstance(number, bool) or not isinstance(number, int | float) or not math.isfinite(number):
                raise SeriesError(f"{place} has a reading or a time that is no finite number: {number!r}")
        if self.times_s and len(self.times_s) != len(self.values):
            raise SeriesError(
                f"{place} has {len(self.values)} values and {len(self.times_s)} times; give each value one, or none"
            )
        if list(self.times_s) != sorted(self.times_s):
            raise SeriesError(
                f"{place} has times that go back; give its readings in the order they were taken"
            )

    @property
    def mean(self) -> float:
        """The mean of the readings, in `unit`."""
        return fmean(self.values)


def check_names(series: Iterable[Series]) -> None:
    """Raises SeriesError where two series of one measurement have the same name."""
    seen: set[str] = set()
    for one in series:
        if one.name in seen:
            raise SeriesError(f"a measurement has two series {one.name!r}; name each quantity once")
        seen.add(one.name)


def plain_series(series: Iterable[Series]) -> list[dict[str, Any]]:
    """Series as JSON objects."""
    return [asdict(one) for one in series]


def series_of_plain(objects: Iterable[Mapping[str, Any]]) -> tuple[Series, ...]:
    """The inverse of `plain_series`; raises TypeError for an unknown or missing field, SeriesError as `Series` does."""
    return tuple(Series(**_with_tuples(item)) for item in objects)


def _with_tuples(item: Mapping[str, Any]) -> dict[str, Any]:
    return {field: tuple(value) if isinstance(value, list) else value for field, value in dict(item).items()}
