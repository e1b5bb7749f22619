"""The best way through filled tables: its steps, and what loose readers took and were given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from explorer.compose.activity import ASLEEP
from explorer.compose.endings import Ending
from explorer.compose.loose import Reader
from explorer.compose.rivals import Row, State
from explorer.compose.steps import ComposedStep
from explorer.compose.suffixes import Suffixes, Way


class Decisions(NamedTuple):
    """The steps of the best way; of every loose reader what it took, and what its producer provided for it."""

    steps: tuple[ComposedStep, ...]
    taken: Mapping[Reader, int]
    given: Mapping[Reader, int]


def trace(suffixes: Suffixes) -> Decisions:
    """The decisions behind the least cost of tables that are filled, of which there has to be one."""
    return _Trace(suffixes).run()


class _Trace:
    def __init__(self, suffixes: Suffixes) -> None:
        self._suffixes = suffixes
        self._steps: list[ComposedStep] = []
        self._taken: dict[Reader, int] = {}
        self._given: dict[Reader, int] = {}

    def run(self) -> Decisions:
        tables = self._suffixes.tables
        state, _ = min(self._suffixes.starts(), key=lambda start: start[1])
        endings = self._suffixes.input_endings(state, tables[0][state].costs)
        active = self._follow(min(endings, key=lambda one: one.costs[ASLEEP]), ASLEEP)
        row = tables[0][state]
        while (way := row.ways[active]) is not None:
            ahead = way[0]
            behind = tables[ahead.reading.after][ahead.state]
            active = self._take(way, state, behind, active)
            state, row = ahead.state, behind
        return Decisions(tuple(self._steps), self._taken, self._given)

    def _take(self, way: Way, before: State, behind: Row, active: int) -> int:
        """The step itself and the layout changes of what it writes."""
        ahead, offer, priced = way
        node = ahead.reading.node
        if priced.rule is not None:
            active, _ = self._suffixes.activity.enter(priced.rule, active)
        self._steps.append(
            ComposedStep(node, node.outputs, priced.timed, offer.free == "view", offer.free == "in place")
        )
        ending = self._ending(way, before, behind.costs, active)
        for tensor, mask in self._suffixes.asked(offer, ending):
            for number in ahead.reading.readers[tensor]:
                if number in self._suffixes.loose.of(tensor):
                    self._taken[tensor, number] = mask
        return self._follow(ending, active)

    def _ending(self, way: Way, before: State, costs: Sequence[float], active: int) -> Ending:
        """Of the ways to write the outputs the best that leads here."""
        suffixes = self._suffixes
        endings = [
            ending
            for ending in suffixes.endings(way[1], way[0].demands, costs)
            if suffixes.leads(way, before, ending)
        ]
        return min(endings, key=lambda ending: ending.costs[active])

    def _follow(self, ending: Ending, active: int) -> int:
        for stage in ending.stages:
            _, provision, change = min(
                (
                    (change.cost - provision.earned + stage.behind[change.after], provision, change)
                    for provision in stage.provided.provisions
                    for change in provision.changes[active]
                ),
                key=lambda found: found[0],
            )
            self._steps += [ComposedStep(None, (stage.tensor,), timed) for timed in change.steps]
            self._given |= {(stage.tensor, number): mask for number, mask in provision.given.items()}
            active = change.after
        return active
