"""The least cost of what comes before a state, whatever its memory: what no composition through the state falls below.

Filled tables of demands (see `explorer.compose.suffixes`) are gone through once more, from the first layer on. Where
memory counts, states say more than demands: what they say of places is left away, and of the demands alike that remain
the cheapest counts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from explorer.compose.activity import ASLEEP
from explorer.compose.demands import Demands
from explorer.compose.effort import Effort
from explorer.compose.endings import Ending
from explorer.compose.loose import Loose
from explorer.compose.readings import Reading
from explorer.compose.rivals import INFINITE, Row, State
from explorer.compose.suffixes import Suffixes

Costs = list[float]
"""By what is active."""


class Prefixes:
    """Of one problem's tables, filled and complete, as far as they can be part of a composition that costs less than
    `most`: the rest is infinite.
    """

    def __init__(self, suffixes: Suffixes, most: float, effort: Effort) -> None:
        self.demands: Demands = suffixes.demands
        self._suffixes = suffixes
        self._most = most
        self._effort = effort
        self._none: Costs = [INFINITE] * len(suffixes.activity.states)
        self._tables: list[dict[State, Costs]] = [{} for _ in suffixes.tables]
        self._has_prices = any(one.prices for _, one in suffixes.loose)
        self._room: list[float] = []
        self._more_paid: list[dict[tuple[str, int], float]] = [{} for _ in suffixes.tables]
        self._keyed: list[dict[State, Costs]] = []
        self._paid: list[dict[tuple[str, int], float | None]] = [{} for _ in suffixes.tables]
        self._run()

    @property
    def most(self) -> float:
        """What the whole may not cost."""
        return self._most

    def room(self, place: int, asked: Iterable[tuple[str, int]] = ()) -> float:
        """What may be spent at most from the node of that number on where so much is asked for, and more of others."""
        room, known = self._room[place], self._more_paid[place]
        for one in asked:
            if one not in known:
                known[one] = self._more_than_least(place, *one)
            room -= known[one]
        return room

    def _more_than_least(self, place: int, tensor: str, mask: int) -> float:
        """What the loose readers of a tensor that are still to come pay for a mask more than they may."""
        paid = self._paid_for(place, tensor, mask)
        return 0.0 if paid is None else paid - sum(map(_cheapest, self._still_open(place, tensor)))

    def _still_open(self, place: int, tensor: str) -> list[Loose]:
        """The loose readers of a tensor from a node on."""
        return [one for number, one in self._suffixes.loose.of(tensor).items() if number >= place]

    def rooms(self, place: int, asked: Sequence[tuple[str, int]]) -> Costs:
        """What may be spent at most, by what is active, from the node of that number on where so much is asked for."""
        return [self._most - cost for cost in self._of(place, asked)]

    def _of(self, place: int, asked: Sequence[tuple[str, int]]) -> Costs:
        key, paid = [], 0.0
        known = self._paid[place]
        for one in asked:
            if one not in known:
                known[one] = self._paid_for(place, *one)
            price = known[one]
            if price is None:
                key.append(one)
            else:
                paid += price
        found = self._keyed[place].get(tuple(key), self._none)
        return [cost + paid for cost in found] if paid else found

    def _paid_for(self, place: int, tensor: str, mask: int) -> float | None:
        """What the loose readers of a tensor pay at least that are still to come; None where none is."""
        still_open = self._still_open(place, tensor)
        return sum(_least_price(one, mask) for one in still_open) if still_open else None

    def _run(self) -> None:
        zeros = [0.0] * len(self._none)
        start = list(self._none)
        start[ASLEEP] = 0.0
        for state, row in self._suffixes.tables[0].items():
            for ending in self._suffixes.input_endings(state, zeros):
                self._reach(0, state, row, ending.arrived(start))
        for place, readings in enumerate(self._suffixes.readings):
            table = self._tables[place]
            least = min((min(costs) for costs in table.values()), default=INFINITE)
            for reading in readings if table else ():
                for state, row in self._suffixes.tables[reading.after].items():
                    if least + min(row.costs) < self._most:
                        self._extend(place, reading, state, row, least)
        for place, table in enumerate(self._tables):
            self._keyed.append(self._by_key(place, table))
            least = min((min(costs) for costs in table.values()), default=INFINITE)
            self._room.append(self._most - least - self._least_paid(place))
        self._tables.clear()

    def _extend(self, place: int, reading: Reading, state: State, row: Row, least: float) -> None:
        self._effort.spend(len(reading.choices))
        suffixes, table = self._suffixes, self._tables[place]
        rest, demands = suffixes.parted(state, reading.node.outputs)
        room = INFINITE if self._has_prices else self._most - least - min(row.costs)
        zeros = [0.0] * len(self._none)
        endings: dict[int, tuple[Ending, ...]] = {}
        for offer, number, cheapest, choices in reading.choices:
            if cheapest >= room:
                continue
            if number not in endings:
                endings[number] = tuple(suffixes.endings(offer, demands, zeros))
            for ending in endings[number]:
                before = suffixes.before(rest, suffixes.asked(offer, ending), reading)
                costs = None if before is None else table.get(before[0])
                if before is None or costs is None:
                    continue
                behind = list(self._none)
                for active, after, spent, _ in choices:
                    behind[after] = min(behind[after], costs[active] + before[1] + spent)
                self._reach(reading.after, state, row, ending.arrived(behind))

    def _reach(self, place: int, state: State, row: Row, costs: Costs) -> None:
        known = self._tables[place].get(state, self._none)
        best = [
            min(old, new if new + rest < self._most else INFINITE)
            for old, new, rest in zip(known, costs, row.costs, strict=True)
        ]
        if min(best) < INFINITE:
            self._tables[place][state] = best

    def _least_paid(self, place: int) -> float:
        """What all loose readers pay at least that are still to come, of what was there before."""
        return sum(
            _cheapest(one)
            for (tensor, number), one in self._suffixes.loose
            if self._suffixes.made_at(tensor) < place <= number
        )

    def _by_key(self, place: int, table: Mapping[State, Costs]) -> dict[State, Costs]:
        loose = self._suffixes.loose
        found: dict[State, Costs] = {}
        for state, costs in table.items():
            key = tuple(
                (tensor, self.demands.without_bounds(mask))
                for tensor, mask in state
                if not any(number >= place for number in loose.of(tensor))
            )
            known = found.get(key)
            found[key] = costs if known is None else [min(pair) for pair in zip(known, costs, strict=True)]
        return found


def _cheapest(loose: Loose) -> float:
    return min((loose.prices.get(value, 0.0) for value in loose.values), default=0.0)


def _least_price(loose: Loose, mask: int) -> float:
    return min((loose.prices.get(value, 0.0) for value in loose.values if value & mask == value), default=0.0)
