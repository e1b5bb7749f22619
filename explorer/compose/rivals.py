"""Which states of a table are worth keeping: those that no other beats, whatever came before."""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping
from typing import TYPE_CHECKING, NamedTuple

from explorer.compose.activity import Activity
from explorer.compose.demands import Demands
from explorer.compose.problem import Problem

if TYPE_CHECKING:
    from explorer.compose.suffixes import Way

State = tuple[tuple[str, int], ...]
"""Tensors with the masks that are asked of them, in the order of the graph."""
INFINITE = float("inf")


class Row(NamedTuple):
    """The costs of a state by what is active before it, and the best way on from each."""

    costs: list[float]
    ways: list[Way | None]

    @staticmethod
    def empty(count: int) -> Row:
        """Of a state from which nothing leads on yet."""
        return Row([INFINITE] * count, [None] * count)


class Rivals:
    """A state is beaten by one that asks for less and costs no more; and by one that asks for another layout of one
    tensor and costs less by what it takes to change to that, wherever the change is put in.
    """

    def __init__(self, problem: Problem, demands: Demands, activity: Activity, by_margin: bool) -> None:
        self._by_margin = by_margin and not demands.tells_memories
        self._problem = problem
        self._demands = demands
        self._activity = activity
        self._others: dict[tuple[str, int], tuple[tuple[int, float], ...]] = {}

    def efficient(self, table: Mapping[State, Row], asked: Container[str]) -> dict[State, Row]:
        """The rows that are left; of two that beat each other the first. Those are compared that differ in one of the
        tensors that are newly asked for: what differs elsewhere was compared before.
        """
        kept = dict(table)
        for state, row in table.items():
            if any(
                other in kept and _beats(kept[other], row, margin)
                for other, margin in self._rivals(state, asked)
            ):
                del kept[state]
        return kept

    def _rivals(self, state: State, asked: Container[str]) -> Iterator[tuple[State, float]]:
        """Other states, and how much cheaper they have to be."""
        for place, (tensor, mask) in enumerate(state):
            if tensor not in asked:
                continue
            for other, margin in self._of(tensor, mask):
                yield (*state[:place], (tensor, other), *state[place + 1 :]), margin

    def _of(self, tensor: str, mask: int) -> tuple[tuple[int, float], ...]:
        key = (tensor, mask)
        if key not in self._others:
            self._others[key] = tuple(self._alternatives(tensor, mask))
        return self._others[key]

    def _alternatives(self, tensor: str, mask: int) -> Iterator[tuple[int, float]]:
        needed = self._demands.needed(mask)
        if len(needed) > 1:
            yield from ((mask & ~self._demands.need(layout), 0.0) for layout in needed)
        elif self._by_margin and needed and mask == self._demands.need(needed[0]):
            for target in self._problem.wanted_layouts(tensor):
                ways = self._problem.relayouts(tensor, needed[0], target)
                if ways:
                    yield self._demands.need(target), min(map(self._activity.most, ways))


def _beats(one: Row, other: Row, margin: float) -> bool:
    return all(a + margin <= b for a, b in zip(one.costs, other.costs, strict=True))
