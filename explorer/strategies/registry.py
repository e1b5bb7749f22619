"""Strategies by name: built-ins and plug-ins through the same entry points."""

from __future__ import annotations

from importlib.metadata import entry_points

from codegen.suggestion import unknown
from explorer.errors import StrategyError
from explorer.search.layer_search import SearchSettings
from explorer.search.strategy import Strategy

ENTRY_POINT_GROUP = "explore.strategies"


def known_strategies() -> tuple[str, ...]:
    """Names of the registered strategies."""
    return tuple(sorted({point.name for point in entry_points(group=ENTRY_POINT_GROUP)}))


def strategy_named(name: str, settings: SearchSettings) -> Strategy:
    """A new strategy that has asked for nothing yet; raises StrategyError listing the known ones."""
    for point in entry_points(group=ENTRY_POINT_GROUP):
        if point.name == name:
            try:
                strategy: Strategy = point.load()(settings)
            except (ImportError, AttributeError) as error:
                raise StrategyError(
                    f"strategy {point.name!r} ({point.value}) does not load: {error}; reinstall it"
                ) from error
            return strategy
    raise StrategyError(
        f"unknown strategy {unknown(name, known_strategies())} known: {', '.join(known_strategies())}"
    )
