"""The least cost of what is left to do, for all that it may ask for: dynamic programming from the last layer back.

Before every layer a table says for each state, the masks of demands (see `explorer.compose.demands`) of all tensors
that are there and still needed, what the rest costs, whatever was active before. Each tensor's layouts are changed
right behind its producer, once everything that reads it has said what it takes: tensors that the same layers read
share their fate, so that dense blocks and branches into a concatenation have few states. What lives long and apart (a
skip of a U-Net) is let loose where states would be too many (see `explorer.compose.loose`).
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from codegen.engine_registry import engine_named
from explorer.compose.activity import ASLEEP, Activity
from explorer.compose.demands import ANYWHERE, Demands
from explorer.compose.effort import Effort
from explorer.compose.endings import Ending, Endings
from explorer.compose.horizon import Endless, Horizon
from explorer.compose.loose import Loose, LooseReaders
from explorer.compose.offers import Offer, PricedWay
from explorer.compose.problem import OUTSIDE_LAYOUT, Problem
from explorer.compose.readings import Reading, Readings
from explorer.compose.rivals import INFINITE, Rivals, Row, State


class Ahead(NamedTuple):
    """Where a step leads: behind a node or chain, to a state, with what that asks of the node's outputs."""

    reading: Reading
    state: State
    demands: tuple[tuple[str, int], ...]


Way = tuple[Ahead, Offer, PricedWay]
"""A step: where it leads, and what it is."""


class Suffixes:
    """The tables of one problem. `most_states`: where a table would have more, the longest-lived of its tensors are let
    loose. `by_margin`: states are dropped as well that a change of layout makes of a cheaper one; `complete`: none is
    dropped; `horizon`: what lies beyond it is.
    """

    def __init__(
        self,
        problem: Problem,
        most_states: int,
        effort: Effort,
        by_margin: bool = True,
        complete: bool = False,
        horizon: Horizon | None = None,
    ) -> None:
        self.loose = LooseReaders()
        self.most_states = most_states
        self._effort = effort
        self.complete = complete
        self._graph = problem.graph
        engines = [engine_named(name) for name in problem.used_engines]
        self.demands = Demands(problem.layouts, engines)
        self.activity = Activity(problem.prices, [engine.name for engine in engines if engine.launches])
        self._horizon = horizon or Endless(len(self.activity.states))
        self._endings = Endings(problem, self.demands, self.activity, self.loose)
        self._rivals = Rivals(problem, self.demands, self.activity, by_margin)
        self._order = {tensor: place for place, tensor in enumerate(_tensors(problem))}
        self._made_at = {t: i for i, node in enumerate(self._graph.nodes) for t in node.outputs}
        self.readings = Readings(problem, self.demands, self.activity).at
        self.tables: list[dict[State, Row]] = []

    # Tables -------------------------------------------------------------------------------------------------

    def solve(self) -> float:
        """Fills the tables and returns the least cost of all; infinite where layouts cannot be joined."""
        count = len(self._graph.nodes)
        end = Row.empty(len(self.activity.states))
        end.costs[:] = [0.0] * len(end.costs)
        self.tables = [{} for _ in range(count + 1)]
        outputs = {tensor: self.demands.need(OUTSIDE_LAYOUT) for tensor in self._graph.outputs}
        self.tables[count] = {self._state(outputs): end}
        place = count - 1
        while place >= 0:
            self._fill(place)
            if len(self.tables[place]) > self.most_states:
                restart = self._let_loose(place)
                if restart is not None:
                    place = restart
                    continue
            place -= 1
        return min((cost for _, cost in self.starts()), default=INFINITE)

    def _fill(self, place: int) -> None:
        self._endings.forget_prices()
        table: dict[State, Row] = {}
        for reading in self.readings[place]:
            for state, row in self.tables[reading.after].items():
                self._extend(place, table, reading, state, row)
        if self._horizon.most < INFINITE:
            table = dict(self._within(place, table))
        if not self.complete and len(table) > 1:
            asked = {tensor for reading in self.readings[place] for tensor in reading.readers}
            table = self._rivals.efficient(table, asked)
        self.tables[place] = table

    def _within(self, place: int, table: Mapping[State, Row]) -> Iterator[tuple[State, Row]]:
        """The rows that are not beyond the horizon for all that may be active."""
        for state, row in table.items():
            asked = tuple((tensor, self.demands.without_bounds(mask)) for tensor, mask in state)
            rooms = self._horizon.rooms(place, asked)
            row.costs[:] = [
                cost if cost < room else INFINITE for cost, room in zip(row.costs, rooms, strict=True)
            ]
            if min(row.costs) < INFINITE:
                yield state, row

    def _extend(self, place: int, table: dict[State, Row], reading: Reading, state: State, row: Row) -> None:
        self._effort.spend(len(reading.choices))
        rest, demands = self.parted(state, reading.node.outputs)
        ahead = Ahead(reading, state, demands)
        room, least_behind = self._room(place, rest, reading), min(row.costs)
        endings: dict[int, tuple[Ending, ...]] = {}
        rows: dict[tuple[tuple[str, int], ...], tuple[Row, float] | None] = {}
        for offer, number, least, choices in reading.choices:
            if least + least_behind >= room:
                continue
            if number not in endings:
                endings[number] = tuple(self.endings(offer, demands, row.costs))
            for ending in endings[number]:
                if least + min(ending.costs) >= room:
                    continue
                inputs = self.asked(offer, ending)
                if inputs not in rows:
                    rows[inputs] = self._row(table, self.before(rest, inputs, reading))
                into = rows[inputs]
                if into is None:
                    continue
                (costs, found), price = into
                for active, behind, spent, way in choices:
                    cost = price + spent + ending.costs[behind]
                    if cost < costs[active]:
                        costs[active] = cost
                        found[active] = (ahead, offer, way)

    def _room(self, place: int, rest: State, reading: Reading) -> float:
        """What may be spent from a reading on, whatever it asks for itself beside the rest."""
        if self._horizon.most == INFINITE:
            return INFINITE
        return self._horizon.room(place, (one for one in rest if one[0] not in reading.readers))

    def _row(self, table: dict[State, Row], before: tuple[State, float] | None) -> tuple[Row, float] | None:
        """The row of a state, and what its loose readers pay."""
        if before is None:
            return None
        state, price = before
        row = table.get(state)
        if row is None:
            row = table[state] = Row.empty(len(self.activity.states))
        return row, price

    def made_at(self, tensor: str) -> int:
        """The number of the node that writes a tensor; -1 for an input of the network."""
        return self._made_at.get(tensor, -1)

    def asked(self, offer: Offer, ending: Ending) -> tuple[tuple[str, int], ...]:
        """What an offer asks of its inputs; where it is free its source lies where its result does."""
        if not offer.free or not ending.bounds[0]:
            return offer.inputs
        return tuple((tensor, mask | ending.bounds[0]) for tensor, mask in offer.inputs)

    def before(
        self, rest: State, inputs: tuple[tuple[str, int], ...], reading: Reading
    ) -> tuple[State, float] | None:
        """The state before a node, and what its loose readers pay; None where demands contradict each other."""
        every, price = list(rest), 0.0
        for tensor, mask in inputs:
            loose = self.loose.of(tensor)
            is_tied = not loose
            for number in reading.readers[tensor] if loose else ():
                if number not in loose:
                    is_tied = True
                    continue
                paid = loose[number].price(mask)
                if paid is None:
                    return None
                price += paid
            if is_tied:
                at = self._place_of(every, tensor)
                is_there = at < len(every) and every[at][0] == tensor
                both = mask | every[at][1] if is_there else mask
                if self.demands.contradicts(both):
                    return None
                every[at : at + is_there] = [(tensor, both)]
        return tuple(every), price

    def leads(self, way: Way, before: State, ending: Ending) -> bool:
        """Whether a step comes from that state if its outputs are written like that."""
        ahead, offer, _ = way
        rest, _ = self.parted(ahead.state, ahead.reading.node.outputs)
        found = self.before(rest, self.asked(offer, ending), ahead.reading)
        return found is not None and found[0] == before

    def _state(self, asked: Mapping[str, int]) -> State:
        return tuple(sorted(asked.items(), key=self._key))

    def _key(self, one: tuple[str, int]) -> int:
        return self._order[one[0]]

    def _place_of(self, state: Sequence[tuple[str, int]], tensor: str) -> int:
        """Where a tensor is in a state, or would be: states may have hundreds, and are sorted once."""
        return bisect_left(state, self._order[tensor], key=self._key)

    def parted(self, state: State, outputs: Sequence[str]) -> tuple[State, tuple[tuple[str, int], ...]]:
        """A state without some tensors, and what it asks of these."""
        demands = []
        for tensor in outputs:
            at = self._place_of(state, tensor)
            is_there = at < len(state) and state[at][0] == tensor
            demands.append((tensor, state[at][1] if is_there else 0))
            state = state[:at] + state[at + is_there :]
        return state, tuple(demands)

    def endings(
        self, offer: Offer, demands: Sequence[tuple[str, int]], costs: Sequence[float]
    ) -> Iterator[Ending]:
        """From behind the node on, for each memory that its outputs may be bound to."""
        return self._endings.of(offer, demands, costs)

    # Readers let loose --------------------------------------------------------------------------------------

    def _let_loose(self, place: int) -> int | None:
        """Lets the longest-lived tensor go of which states differ; from where to fill tables anew, if there is one."""
        masks: dict[str, set[int]] = {}
        for state in self.tables[place]:
            for tensor, mask in state:
                masks.setdefault(tensor, set()).add(mask)
        alive = [tensor for tensor, seen in masks.items() if len(seen) > 1]
        if len(alive) < 2:
            return None
        tensor = min(alive, key=self.made_at)
        known, last = set(self.loose.of(tensor)), place
        for start in range(place, len(self.readings)):
            for reading in self.readings[start]:
                for number in set(reading.readers.get(tensor, ())) - known:
                    self.loose.add((tensor, number), Loose(self._values(tensor, number)))
                    last = start
        return last

    def _values(self, tensor: str, number: int) -> frozenset[int]:
        """All that the node of that number, or a chain with it, may ask of a tensor."""
        values = {
            mask
            for readings in self.readings[: number + 1]
            for reading in readings
            if number in reading.readers.get(tensor, ())
            for offer, *_ in reading.choices
            for name, asked in offer.inputs
            if name == tensor
            for mask in self.demands.with_bounds(asked, bool(offer.free))
        }
        return frozenset(values)

    # Ends ------------------------------------------------------------------------------------------------------

    def starts(self) -> Iterator[tuple[State, float]]:
        for state, row in self.tables[0].items():
            cost = min(
                (ending.costs[ASLEEP] for ending in self.input_endings(state, row.costs)), default=INFINITE
            )
            if cost < INFINITE:
                yield state, cost

    def input_endings(self, state: State, costs: Sequence[float]) -> Iterator[Ending]:
        asked = dict(state)
        demands = tuple((tensor, asked.pop(tensor, 0)) for tensor in self._graph.inputs)
        if not asked:
            yield from self.endings(self.outside, demands, costs)

    @property
    def outside(self) -> Offer:
        """The caller, who offers the network's inputs."""
        return Offer((), (OUTSIDE_LAYOUT,) * len(self._graph.inputs), ANYWHERE, False)


def _tensors(problem: Problem) -> Iterator[str]:
    yield from problem.graph.inputs
    for node in problem.graph.nodes:
        yield from node.outputs
