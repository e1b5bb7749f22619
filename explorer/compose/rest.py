"""What is left to pay at least in a state of what is held, by tables of demands."""

from __future__ import annotations

from collections.abc import Sequence

from codegen.plan import buffer_name
from explorer.compose.demands import ANYWHERE, Demands
from explorer.compose.held import Copy, Held, space_of
from explorer.compose.offers import Offer
from explorer.compose.problem import Problem
from explorer.compose.rivals import INFINITE, State
from explorer.compose.shortest_paths import Waypoint
from explorer.compose.suffixes import Suffixes

_Costs = list[tuple[float, State]]


class Rest:
    """The least cost of all demands that the copies held satisfy. Where readers are loose, it is lower by what they pay
    at most for what is there.
    """

    def __init__(self, problem: Problem, suffixes: Suffixes) -> None:
        self._problem = problem
        self._suffixes = suffixes
        self._tables: dict[tuple[int, int | None], _Costs] = {}
        self._known: dict[tuple[Waypoint, int, tuple[tuple[str, int], ...]], float] = {}
        self._masks: dict[Copy, int] = {}

    def __call__(self, place: Waypoint, held: Held) -> float:
        there: dict[str, int] = {}
        for copy in held.copies:
            there[copy.tensor] = there.get(copy.tensor, 0) | self._mask(copy)
        active = self._suffixes.activity.state(held.launched, held.awake)
        key = (place, active, tuple(there.items()))
        if key not in self._known:
            self._known[key] = self._sought(place, active, there)
        return self._known[key]

    def _sought(self, place: Waypoint, active: int, there: dict[str, int]) -> float:
        if not place.is_behind:
            return self._least(place.node, active, there) - self._paid(place.node, there)
        nodes = (self._problem.graph.nodes[place.node], *self._problem.pairs_behind(place.node))
        return min(
            self._least_behind(place.node, active, dict(there), node.outputs)
            for node in nodes
            if there.keys() >= {*node.outputs}
        )

    def _least_behind(self, node: int, active: int, there: dict[str, int], outputs: Sequence[str]) -> float:
        """The same where the layouts of outputs, the last that were written, are still to be changed."""
        masks = tuple(there.pop(tensor) for tensor in outputs)
        return self._behind(node, active, there, outputs, masks) - self._paid(node + 1, there)

    def _behind(
        self, node: int, active: int, there: dict[str, int], outputs: Sequence[str], masks: tuple[int, ...]
    ) -> float:
        demands = self._suffixes.demands
        sources = tuple(demands.needed(mask)[0] for mask in masks)
        placed = [demands.placed_in(mask) for mask in masks]
        written = Offer((), sources, ANYWHERE, True)
        least = INFINITE
        for cost, state in self._costs(node + 1, None):
            if cost >= least and not any(self._suffixes.loose.of(tensor) for tensor in outputs):
                break
            asked = dict(state)
            wanted = tuple((tensor, asked.pop(tensor, 0)) for tensor in outputs)
            if any(
                demands.placed_in(mask) not in (None, at)
                for (_, mask), at in zip(wanted, placed, strict=True)
            ):
                continue
            if all(there.get(tensor, 0) & mask == mask for tensor, mask in asked.items()):
                row = self._suffixes.tables[node + 1][state]
                endings = self._suffixes.endings(written, wanted, row.costs)
                least = min([least, *(ending.costs[active] for ending in endings)])
        return least

    def _least(self, node: int, active: int, there: dict[str, int]) -> float:
        for cost, state in self._costs(node, active):
            if all(there.get(tensor, 0) & mask == mask for tensor, mask in state):
                return cost
        return INFINITE

    def _costs(self, node: int, active: int | None) -> _Costs:
        """States with their costs, the cheapest first; whatever is active where that is None."""
        key = (node, active)
        if key not in self._tables:
            rows = self._suffixes.tables[node].items()
            self._tables[key] = sorted(
                ((min(row.costs) if active is None else row.costs[active], state) for state, row in rows),
                key=lambda found: found[0],
            )
        return self._tables[key]

    def _paid(self, node: int, there: dict[str, int]) -> float:
        paid = 0.0
        for tensor, mask in there.items():
            for number, loose in self._suffixes.loose.of(tensor).items():
                if number >= node:
                    value = loose.best_of(mask)
                    if value is None:
                        return -INFINITE
                    paid += loose.price(value) or 0.0
        return paid

    def _mask(self, copy: Copy) -> int:
        """What demands a copy satisfies."""
        if copy not in self._masks:
            demands: Demands = self._suffixes.demands
            mask = demands.need(copy.layout) | demands.bound(copy.layout, frozenset({space_of(copy.buffer)}))
            wholes = self._problem.wholes(copy.tensor, copy.layout)
            if any(copy.buffer.name == buffer_name(whole.output, copy.layout) for whole in wholes):
                mask |= demands.placed(copy.layout)
            self._masks[copy] = mask
        return self._masks[copy]
