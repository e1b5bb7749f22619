"""What is left to pay at least in a state of what is held, by tables of demands."""

from __future__ import annotations

from codegen.plan import buffer_name
from explorer.compose.demands import Demands
from explorer.compose.held import Copy, Held, space_of
from explorer.compose.problem import Problem
from explorer.compose.rivals import INFINITE, State
from explorer.compose.suffixes import Suffixes

_Costs = list[tuple[float, State]]


class Rest:
    """The least cost of all demands that the copies held satisfy. Where readers are loose, it is lower by what they pay
    at most for what is there.
    """

    def __init__(self, problem: Problem, suffixes: Suffixes) -> None:
        self._problem = problem
        self._suffixes = suffixes
        self._tables: dict[tuple[int, int], _Costs] = {}
        self._known: dict[tuple[int, int, tuple[tuple[str, int], ...]], float] = {}
        self._masks: dict[Copy, int] = {}

    def __call__(self, node: int, held: Held) -> float:
        there: dict[str, int] = {}
        for copy in held.copies:
            there[copy.tensor] = there.get(copy.tensor, 0) | self._mask(copy)
        active = self._suffixes.activity.state(held.launched, held.awake)
        key = (node, active, tuple(there.items()))
        if key not in self._known:
            self._known[key] = self._least(node, active, there) - self._paid(node, there)
        return self._known[key]

    def _least(self, node: int, active: int, there: dict[str, int]) -> float:
        for cost, state in self._costs(node, active):
            if all(there.get(tensor, 0) & mask == mask for tensor, mask in state):
                return cost
        return INFINITE

    def _costs(self, node: int, active: int) -> _Costs:
        key = (node, active)
        if key not in self._tables:
            rows = self._suffixes.tables[node].items()
            self._tables[key] = sorted(
                ((row.costs[active], state) for state, row in rows), key=lambda found: found[0]
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
