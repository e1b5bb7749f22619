"""The cheapest steps without caps on memory, with a lower bound: tables, and prices where some readers are loose.

Where tables stay small nothing is loose and the result is exact. Otherwise prices are moved until loose readers get
what they take (a subgradient method, its steps after Polyak). What then is left between the bound and the best that was
found is so little that tables in which nothing is loose hold all states that can still be part of anything better.
Where even these are too many, what readers disagree on is tied again, in wider tables.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from explorer.compose.effort import Effort
from explorer.compose.loose import Reader
from explorer.compose.prefixes import Prefixes
from explorer.compose.problem import Problem
from explorer.compose.rivals import INFINITE
from explorer.compose.steps import ComposedStep
from explorer.compose.suffixes import Suffixes
from explorer.compose.trace import Decisions, trace
from explorer.errors import CompositionError

FIRST_STATES = 512
MOST_TIED = 4096
WIDER = 4  # times as many states in the next tables
ROUNDS = 40  # of prices, before tables are made wider
PATIENCE = 4  # rounds without a better bound, before steps are halved
CLOSE = 1e-9  # a gap as small as this is rounding


@dataclass(frozen=True)
class Cheapest:
    """Steps, their price, and what no steps can fall below."""

    steps: tuple[ComposedStep, ...]
    price: float
    bound: float

    @property
    def gap(self) -> float:
        """The part of the price that is not proven to be needed."""
        saved = self.price - self.bound
        return saved / self.price if saved > CLOSE * self.price else 0.0


class Decomposition:
    """The search for one problem's cheapest steps. The tables of its last round remain; `complete`: with all states."""

    def __init__(self, problem: Problem, effort: Effort, complete: bool = False) -> None:
        self.suffixes = Suffixes(problem, FIRST_STATES, effort, complete=complete)
        self._complete = complete
        self._problem = problem
        self._effort = effort
        self._prices: dict[Reader, dict[int, float]] = {}  # that gave the bound
        self._steps: tuple[ComposedStep, ...] | None = None
        self._price = INFINITE
        self._bound = -INFINITE

    def run(self) -> Cheapest:
        """Until it is exact or its effort is spent; raises CompositionError where layouts cannot be joined."""
        while True:
            disagreed = self._rounds()
            if not self._is_done() and self._steps is not None:
                self._tie_all()
            if self._is_done() and self._steps is not None:
                return Cheapest(self._steps, self._price, min(self._bound, self._price))
            self.suffixes.most_states *= WIDER
            for reader in disagreed:
                self.suffixes.loose.remove(reader)

    def complete_tables(self) -> Suffixes:
        """The tables of the best prices so far, none of their states dropped."""
        if self.suffixes.complete and not any(self.suffixes.loose):
            return self.suffixes
        for reader, loose in self.suffixes.loose:
            loose.prices = dict(self._prices.get(reader, {}))
        self.suffixes.complete = True
        self.suffixes.solve()
        return self.suffixes

    def _tie_all(self) -> None:
        """Wider tables, of nothing but what may be better than the best."""
        prefixes = Prefixes(self.complete_tables(), self._price * (1 - CLOSE), self._effort)
        self.suffixes.complete = self._complete
        tied = Suffixes(self._problem, MOST_TIED, self._effort, horizon=prefixes)
        value = tied.solve()
        if not any(tied.loose) and value < INFINITE:
            self._take(trace(tied), value)
        self._bound = max(self._bound, min(value, self._price))

    def _rounds(self) -> set[Reader]:
        """Rounds of prices; returns the readers that did not get what they took when the bound was best."""
        scale, idle = 1.0, 0
        disagreed: set[Reader] = set()
        for _ in range(ROUNDS):
            value = self.suffixes.solve()
            if value == INFINITE:
                raise CompositionError(
                    "no combination of choices fits together: a layout change that some layer needs has no algorithm"
                )
            decisions = trace(self.suffixes)
            wrong = {reader for reader, mask in decisions.taken.items() if decisions.given[reader] != mask}
            if value > self._bound:
                self._bound, disagreed, idle = value, wrong, 0
                self._prices = {reader: dict(loose.prices) for reader, loose in self.suffixes.loose}
            else:
                idle += 1
            if not wrong:
                self._take(decisions, value)
            elif idle == 0 or self._steps is None:
                self._repair(decisions.taken)
            if self._is_done():
                return disagreed
            if idle >= PATIENCE:
                scale, idle = scale / 2, 0
            self._move_prices(decisions, wrong, scale * (self._price - value) / (2 * len(wrong)))
        return disagreed

    def _is_done(self) -> bool:
        exact = self._price - self._bound <= CLOSE * self._price
        return exact or (self._steps is not None and self._effort.is_spent())

    def _take(self, decisions: Decisions, price: float) -> None:
        if price < self._price:
            self._steps, self._price = decisions.steps, price

    def _repair(self, taken: Mapping[Reader, int]) -> None:
        """Steps in which every loose reader gets what it took, whatever the others make of that."""
        for reader, loose in self.suffixes.loose:
            loose.held_to = taken.get(reader)
        price = self.suffixes.solve()
        if price < INFINITE:
            decisions = trace(self.suffixes)
            if all(decisions.given[reader] == mask for reader, mask in decisions.taken.items()):
                self._take(decisions, price)
        for _, loose in self.suffixes.loose:
            loose.held_to = None

    def _move_prices(self, decisions: Decisions, wrong: set[Reader], step: float) -> None:
        for reader, loose in self.suffixes.loose:
            if reader in wrong:
                for mask, change in ((decisions.taken[reader], step), (decisions.given[reader], -step)):
                    loose.prices[mask] = loose.prices.get(mask, 0.0) + change
