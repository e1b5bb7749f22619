"""What it costs to have a tensor in all layouts that are asked for, right behind its producer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from explorer.compose.activity import Activity, Rule
from explorer.compose.demands import ANYWHERE, Demands
from explorer.compose.problem import Problem
from explorer.compose.timed_candidates import TimedCandidate


class Change(NamedTuple):
    """Layout changes in the order they run, the state of activity behind them, and their price."""

    after: int
    cost: float
    steps: tuple[TimedCandidate, ...] = ()


Changes = tuple[tuple[Change, ...], ...]
"""For each state of activity before them the best to each state behind."""


class _Made(NamedTuple):
    """The copies so far: layout, what is asked of its memory, the memories that its writer can write."""

    copies: tuple[tuple[str, int, frozenset[str]], ...]
    state: int


class _Copying(NamedTuple):
    """A way to copy from one layout to another: its rule and price, and the memories that it reads and writes."""

    timed: TimedCandidate
    rule: Rule
    price: float
    reads: frozenset[str]
    writes: frozenset[str]


class LayoutChanges:
    """Changes from one source to the layouts of a mask. Layouts that anybody could want are made one after another,
    each from any copy that is there.
    """

    def __init__(self, problem: Problem, demands: Demands, activity: Activity) -> None:
        self._problem = problem
        self._demands = demands
        self._activity = activity
        self._found: dict[tuple[object, ...], Mapping[int, Changes]] = {}
        self._ways: dict[tuple[str, str, str], tuple[_Copying, ...]] = {}

    def of(self, tensor: str, source: str, mask: int) -> Mapping[int, Changes]:
        """By what is asked of the source copy's memory; empty where the layouts cannot be made."""
        wanted = self._problem.wanted_layouts(tensor)
        key = (self._problem.graph.types[tensor], wanted, source, mask)
        if key not in self._found:
            self._found[key] = self._search(tensor, source, mask, wanted)
        return self._found[key]

    def _search(self, tensor: str, source: str, mask: int, wanted: tuple[str, ...]) -> Mapping[int, Changes]:
        if self._demands.contradicts(mask) or self._demands.placed_in(mask) not in (None, source):
            return {}
        needed = set(self._demands.needed(mask)) - {source}
        found: dict[int, list[dict[int, Change]]] = {}
        for before in self._activity.states:
            start = _Made(((source, self._demands.bounds(mask, source), ANYWHERE),), before)
            reached = {start: Change(before, 0.0)}
            for _ in wanted if needed else ():
                for target in wanted:
                    reached = self._with(tensor, target, mask, reached)
            for made, change in reached.items():
                if needed <= {copy[0] for copy in made.copies} and self._holds(made):
                    best = found.setdefault(made.copies[0][1], [{} for _ in self._activity.states])[before]
                    if made.state not in best or change.cost < best[made.state].cost:
                        best[made.state] = change
        return {bound: tuple(tuple(one.values()) for one in changes) for bound, changes in found.items()}

    def _with(
        self, tensor: str, target: str, mask: int, reached: Mapping[_Made, Change]
    ) -> dict[_Made, Change]:
        """Everything reached before, and with the target made from every copy."""
        after = dict(reached)
        target_bounds = self._demands.bounds(mask, target)
        for made, change in reached.items():
            if any(copy[0] == target for copy in made.copies):
                continue
            for place, (source, bounds, writes) in enumerate(made.copies):
                for timed, rule, price, reads, writable in self._copying(tensor, source, target):
                    state, entering = self._activity.enter(rule, made.state)
                    read = (source, bounds | self._demands.bound(source, reads), writes)
                    copies = (*made.copies[:place], read, *made.copies[place + 1 :])
                    cost = change.cost + price + entering
                    key = _Made((*copies, (target, target_bounds, writable)), state)
                    if key not in after or cost < after[key].cost:
                        after[key] = Change(state, cost, (*change.steps, timed))
        return after

    def _copying(self, tensor: str, source: str, target: str) -> tuple[_Copying, ...]:
        key = (tensor, source, target)
        if key not in self._ways:
            self._ways[key] = tuple(
                _Copying(
                    timed,
                    self._activity.rule(timed),
                    self._problem.prices.of(timed),
                    timed.engine.reads,
                    timed.engine.writes,
                )
                for timed in self._problem.relayouts(tensor, source, target)
            )
        return self._ways[key]

    def _holds(self, made: _Made) -> bool:
        """Whether every copy but the source, whose writer is known elsewhere, is where its readers are."""
        return all(self._demands.allows(layout, bounds, writes) for layout, bounds, writes in made.copies)
