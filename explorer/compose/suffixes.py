"""The least cost of what is left to do, for all that it may ask for: dynamic programming from the last layer back.

Before every layer a table says for each state, the masks of demands (see `explorer.compose.demands`) of all tensors
that are there and still needed, what the rest costs, whatever was active before. Each tensor's layouts are changed
right behind its producer, once everything that reads it has said what it takes: tensors that the same layers read
share their fate, so that dense blocks and branches into a concatenation have few states. What lives long and apart (a
skip of a U-Net) is let loose where states would be too many (see `explorer.compose.loose`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import NamedTuple

from codegen.engine_registry import engine_named
from codegen.graph import Node
from explorer.compose.activity import ASLEEP, Activity
from explorer.compose.demands import ANYWHERE, Demands
from explorer.compose.effort import Effort
from explorer.compose.horizon import Endless, Horizon
from explorer.compose.layout_changes import Changes, LayoutChanges
from explorer.compose.loose import Loose, LooseReaders
from explorer.compose.offers import Offer, PricedWay, offers_of
from explorer.compose.problem import OUTSIDE_LAYOUT, Problem
from explorer.compose.rivals import INFINITE, Rivals, Row, State

Choices = tuple[tuple[tuple[int, float, PricedWay], ...], ...]
"""For each state of activity before a step: the state behind it, what it costs, and the way."""


class Reading(NamedTuple):
    """A node or chain at its place: where the graph goes on behind it, and who reads each of its inputs. Offers have a
    number, one for all that write alike, and the least price of their choices.
    """

    node: Node
    after: int
    choices: tuple[tuple[Offer, int, float, Choices], ...]
    readers: Mapping[str, tuple[int, ...]]


class Way(NamedTuple):
    """A step: to which table and state it leads, and what it is."""

    reading: Reading
    state: State
    offer: Offer
    way: PricedWay
    demands: tuple[tuple[str, int], ...]  # on its outputs


class Provision(NamedTuple):
    """Layout changes that provide a mask, what loose readers pay for that, and who gets what."""

    earned: float
    changes: Changes
    given: Mapping[int, int]


class Stage(NamedTuple):
    """The ways to provide for one output, and the costs behind."""

    tensor: str
    provisions: Sequence[Provision]
    behind: Sequence[float]


class Ending(NamedTuple):
    """Costs from behind a node on, by activity, where its outputs come in certain layouts. `bounds`: what is asked of
    their memory; `stages`: the layout changes of each output, with the costs behind them.
    """

    costs: Sequence[float]
    bounds: tuple[int, ...]
    stages: tuple[Stage, ...]

    def arrived(self, costs: list[float]) -> list[float]:
        """Costs of what comes before, by what is active, taken through the layout changes."""
        for stage in self.stages:
            behind = [INFINITE] * len(costs)
            for provision in stage.provisions:
                for cost, changes in zip(costs, provision.changes, strict=True):
                    for change in changes:
                        paid = cost + change.cost - provision.earned
                        behind[change.after] = min(behind[change.after], paid)
            costs = behind
        return costs


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
        ways = [way for of_one in problem.ways.values() for way in of_one]
        engines = dict.fromkeys(way.candidate.choice.engine for way in ways)
        engines |= dict.fromkeys(problem.engines)
        found = [engine_named(name) for name in engines]
        self.demands = Demands(problem.layouts, found)
        self.activity = Activity(problem.prices, [engine.name for engine in found if engine.launches])
        self._horizon = horizon or Endless(len(self.activity.states))
        self._changes = LayoutChanges(problem, self.demands, self.activity)
        self._rivals = Rivals(problem, self.demands, self.activity, by_margin)
        self._order = {tensor: place for place, tensor in enumerate(_tensors(problem))}
        self._made_at = {t: i for i, node in enumerate(self._graph.nodes) for t in node.outputs}
        self.readings = self._read(problem)
        self.tables: list[dict[State, Row]] = []
        self._provided: dict[tuple[object, ...], Mapping[int, Sequence[Provision]]] = {}

    # Tables -------------------------------------------------------------------------------------------------

    def solve(self) -> float:
        """Fills the tables and returns the least cost of all; infinite where layouts cannot be joined."""
        count = len(self._graph.nodes)
        end = Row(len(self.activity.states))
        end.costs = [0.0] * len(end.costs)
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
        self._provided.clear()
        table: dict[State, Row] = {}
        room = self._horizon.room(place)
        for reading in self.readings[place]:
            for state, row in self.tables[reading.after].items():
                self._extend(table, reading, state, row, room - min(row.costs))
        if room < INFINITE:
            table = dict(self._within(place, table))
        self.tables[place] = table if self.complete or len(table) == 1 else self._rivals.efficient(table)

    def _within(self, place: int, table: Mapping[State, Row]) -> Iterator[tuple[State, Row]]:
        """The rows that are not beyond the horizon for all that may be active."""
        for state, row in table.items():
            asked = tuple((tensor, self.demands.without_bounds(mask)) for tensor, mask in state)
            rooms = self._horizon.rooms(place, asked)
            row.costs = [
                cost if cost < room else INFINITE for cost, room in zip(row.costs, rooms, strict=True)
            ]
            if min(row.costs) < INFINITE:
                yield state, row

    def _extend(self, table: dict[State, Row], reading: Reading, state: State, row: Row, room: float) -> None:
        self._effort.spend(len(reading.choices))
        rest = dict(state)
        demands = tuple((tensor, rest.pop(tensor, 0)) for tensor in reading.node.outputs)
        endings: dict[int, tuple[Ending, ...]] = {}
        states: dict[tuple[tuple[str, int], ...], tuple[State, float] | None] = {}
        for offer, number, least, choices in reading.choices:
            if least >= room:
                continue
            if number not in endings:
                endings[number] = tuple(self.endings(offer, demands, row.costs))
            for ending in endings[number]:
                inputs = self.asked(offer, ending)
                if inputs not in states:
                    states[inputs] = self.before(rest, inputs, reading)
                before = states[inputs]
                if before is None:
                    continue
                target, price = before
                into = table.get(target)
                if into is None:
                    into = table[target] = Row(len(row.costs))
                costs = into.costs
                for active, ways in enumerate(choices):
                    for behind, spent, way in ways:
                        cost = price + spent + ending.costs[behind]
                        if cost < costs[active]:
                            costs[active] = cost
                            into.ways[active] = Way(reading, state, offer, way, demands)

    def asked(self, offer: Offer, ending: Ending) -> tuple[tuple[str, int], ...]:
        """What an offer asks of its inputs; where it is free its source lies where its result does."""
        if not offer.free or not ending.bounds[0]:
            return offer.inputs
        return tuple((tensor, mask | ending.bounds[0]) for tensor, mask in offer.inputs)

    def before(
        self, asked: Mapping[str, int], inputs: tuple[tuple[str, int], ...], reading: Reading
    ) -> tuple[State, float] | None:
        """The state before a node, and what its loose readers pay; None where demands contradict each other."""
        every, price = dict(asked), 0.0
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
                every[tensor] = every.get(tensor, 0) | mask
                if self.demands.contradicts(every[tensor]):
                    return None
        return self._state(every), price

    def leads(self, way: Way, before: State, ending: Ending) -> bool:
        """Whether a step comes from that state if its outputs are written like that."""
        rest = dict(way.state)
        for tensor, _ in way.demands:
            rest.pop(tensor, None)
        found = self.before(rest, self.asked(way.offer, ending), way.reading)
        return found is not None and found[0] == before

    def _state(self, asked: Mapping[str, int]) -> State:
        order = self._order
        return tuple(sorted(asked.items(), key=lambda item: order[item[0]]))

    def endings(
        self, offer: Offer, demands: Sequence[tuple[str, int]], costs: Sequence[float]
    ) -> Iterator[Ending]:
        """From behind the node on, for each memory that its outputs may be bound to."""
        per_output = [
            self._provisions_of(offer, tensor, layout, mask)
            for (tensor, mask), layout in zip(demands, offer.outputs, strict=True)
        ]
        for bounds in product(*per_output):
            found, stages = costs, []
            for (tensor, _), provisions, bound in reversed([*zip(demands, per_output, bounds, strict=True)]):
                stages.append(Stage(tensor, provisions[bound], found))
                found = [
                    min(
                        change.cost - provision.earned + found[change.after]
                        for provision in provisions[bound]
                        for change in provision.changes[active]
                    )
                    for active in self.activity.states
                ]
            yield Ending(found, bounds, tuple(reversed(stages)))

    def _provisions_of(
        self, offer: Offer, tensor: str, layout: str, mask: int
    ) -> Mapping[int, Sequence[Provision]]:
        key = (tensor, layout, mask, offer.writes, offer.may_be_part)
        if key not in self._provided:
            self._provided[key] = self._provisions(offer, tensor, layout, mask)
        return self._provided[key]

    def _provisions(self, offer: Offer, tensor: str, layout: str, mask: int) -> dict[int, list[Provision]]:
        found: dict[int, list[Provision]] = {}
        for provided, earned, given in self.loose.provisions(tensor, mask):
            if self.demands.placed_in(provided) is not None and not offer.may_be_part:
                continue
            for bound, changes in self._changes.of(tensor, layout, provided).items():
                if self.demands.allows(layout, bound, offer.writes):
                    found.setdefault(bound, []).append(Provision(earned, changes, given))
        return found

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
        tensor = min(alive, key=lambda name: self._made_at.get(name, -1))
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

    def _read(self, problem: Problem) -> list[list[Reading]]:
        readings: list[list[Reading]] = []
        for index, node in enumerate(self._graph.nodes):
            spans = [(node, index), *((c.node, c.last) for c in problem.chains.get(index, ()))]
            readings.append([self._reading(problem, one, index, last) for one, last in spans])
        return readings

    def _reading(self, problem: Problem, node: Node, first: int, last: int) -> Reading:
        members = self._graph.nodes[first : last + 1]
        readers = {
            tensor: tuple(first + i for i, member in enumerate(members) if tensor in member.inputs)
            for tensor in dict.fromkeys(node.inputs)
        }
        numbers: dict[tuple[object, ...], int] = {}
        choices = tuple(
            (
                offer,
                numbers.setdefault((offer.outputs, offer.writes, offer.may_be_part), len(numbers)),
                min(way.price for way in ways),
                self._choices(ways),
            )
            for offer, ways in offers_of(problem, node, self.demands, self.activity).items()
        )
        return Reading(node, last + 1, choices, readers)

    def _choices(self, ways: Sequence[PricedWay]) -> Choices:
        """For each state before the ways to each state behind that may be best."""
        found = []
        for active in self.activity.states:
            best: dict[int, tuple[int, float, PricedWay]] = {}
            for way in ways:
                behind, entering = (
                    (active, 0.0) if way.rule is None else self.activity.enter(way.rule, active)
                )
                if behind not in best or way.price + entering < best[behind][1]:
                    best[behind] = (behind, way.price + entering, way)
            found.append(tuple(best.values()))
        return tuple(found)


def _tensors(problem: Problem) -> Iterator[str]:
    yield from problem.graph.inputs
    for node in problem.graph.nodes:
        yield from node.outputs
