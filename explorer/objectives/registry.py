"""Objectives by name: built-ins and plug-ins through the same entry points, each a table of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from importlib.metadata import EntryPoint, entry_points

from explorer.errors import ObjectiveError, UsageError
from explorer.objectives.objective import ENERGY, LATENCY, Objective, Weights
from explorer.objectives.power import Power

ENTRY_POINT_GROUP = "explore.objectives"
BUILT_IN = "builtin"


@cache
def objectives() -> tuple[Objective, ...]:
    """Every registered objective, the built-in ones first.

    Raises ObjectiveError where two have one name or column, or a table does not load.
    """
    points = sorted(entry_points(group=ENTRY_POINT_GROUP), key=lambda p: (p.name != BUILT_IN, p.name))
    found = tuple(objective for point in points for objective in _table(point))
    for taken in ("name", "column"):
        values = [getattr(objective, taken) for objective in found]
        twice = next((value for value in values if values.count(value) > 1), None)
        if twice is not None:
            raise ObjectiveError(
                f"two objectives have the {taken} {twice!r}: rename that of the plug-in, or uninstall it"
            )
    return found


def objectives_for(power: Power | None) -> tuple[Objective, ...]:
    """All that can be told of a board's plans: energy where somebody says what the board draws."""
    return tuple(objective for objective in objectives() if objective is not ENERGY or power is not None)


def weights_of(prices: Mapping[str, float], power: Power | None) -> Weights:
    """Latency, and of other objectives, by their names, the seconds of it that a unit is worth. Raises UsageError
    listing those that can be priced.
    """
    known = {o.name: o for o in objectives_for(power) if o.summed and o is not LATENCY}
    terms = []
    for name, price in prices.items():
        if name not in known:
            raise UsageError(
                f"nothing called {name!r} can be priced here; there are {', '.join(known)} (energy where the profile "
                "has [power]; memory is held at once and has no price)"
            )
        terms.append((known[name], price))
    return replace(Weights(), terms=((LATENCY, 1.0), *terms), power=power or Power())


def _table(point: EntryPoint) -> tuple[Objective, ...]:
    try:
        table = tuple(point.load())
    except (ImportError, AttributeError, TypeError) as error:
        raise ObjectiveError(
            f"objectives {point.name!r} ({point.value}) do not load: {error}; reinstall or uninstall what brings them"
        ) from error
    if not all(isinstance(objective, Objective) for objective in table):
        raise ObjectiveError(
            f"objectives {point.name!r} ({point.value}) are no table of explorer.objectives.objective.Objective"
        )
    return table
