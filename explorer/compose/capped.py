"""The cheapest steps within caps on memory, with a lower bound.

Tables without caps say what a composition through any state costs at least. Tables of all that is held are filled with
those states alone that may still cost less than some price: than the best that is known, or than little more than the
bound. Where nothing is found there, the bound rises, and the price with it. Where nothing that fits is known, it may
cost far more than the bound: tables without a price come first then, if they stay small. Where tables grow too large,
beams go on, ever wider.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

from explorer.compose.capped_tables import LARGE, SMALL, CappedTables, Size, TooLarge
from explorer.compose.decomposition import CLOSE, Cheapest, Decomposition
from explorer.compose.effort import Effort
from explorer.compose.held import Caps
from explorer.compose.labels import Label
from explorer.compose.least_held import may_keep
from explorer.compose.memory_use import held_bytes
from explorer.compose.moves import Moves
from explorer.compose.prefixes import Prefixes
from explorer.compose.problem import Problem
from explorer.compose.rest import Rest
from explorer.compose.rivals import INFINITE
from explorer.compose.shortest_paths import Search
from explorer.compose.steps import ComposedStep
from explorer.compose.suffixes import Suffixes
from explorer.errors import UndecidedError

ABOVE_BOUND = (0.003, 0.03)  # of a bound, by which more is looked at in turn; then everything
FIRST_WIDTH = 4
WIDER = 8
FREE_SHARE = 0.25  # of the effort, for the search without caps


class CappedSearch:
    """The search for one problem's cheapest steps within caps."""

    def __init__(self, problem: Problem, caps: Caps, effort: Effort) -> None:
        self._problem = problem
        self._caps = caps
        self._effort = effort
        self._best: tuple[ComposedStep, ...] | None = None
        self._price = INFINITE
        self._bound = -INFINITE

    def run(self) -> Cheapest | None:
        """The best found until it is exact or the effort is spent; None where nothing keeps within the caps.

        Raises UndecidedError where nothing was found and there may be something, CompositionError where layouts
        cannot be joined.
        """
        if not may_keep(self._problem, self._caps):
            return None
        free = Decomposition(self._problem, self._effort.share(FREE_SHARE), complete=True)
        found = free.run()
        if self._keeps(found.steps):
            return found
        self._bound = found.bound
        self._take(self._divided(found.steps))
        tables = free.complete_tables()
        for most, size in self._attempts():
            try:
                label = self._tables(tables, most, size)
            except TooLarge:
                if size is SMALL:
                    continue
                return self.by_beams(tables)
            self._bound = max(self._bound, label.cost if label is not None else min(most, self._price))
            if label is not None and not self._take(label):
                return self.by_beams(tables)
            if self._is_exact():
                return self._cheapest()
            if self._bound == INFINITE:
                return None
        raise AssertionError("the last attempt left something out")

    def _attempts(self) -> Iterator[tuple[float, Size]]:
        """Prices in turn that whatever is looked at has to stay below, and how large tables may grow: the last leaves
        nothing out that is better.
        """
        if self._best is None:
            yield INFINITE, SMALL
        for above in ABOVE_BOUND:
            if self._bound * (1 + above) >= self._price:
                break
            yield self._bound * (1 + above), LARGE
        yield self._price, LARGE

    def _tables(self, free: Suffixes, most: float, size: Size) -> Label | None:
        horizon = None if most == INFINITE else Prefixes(free, most * (1 - CLOSE), self._effort)
        return CappedTables(self._problem, self._caps, self._effort, horizon, size).solve()

    def _divided(self, steps: tuple[ComposedStep, ...]) -> Label | None:
        """What fits of the ways that these steps take, mostly in more launches."""
        try:
            return CappedTables(self._problem.of_steps(steps), self._caps, self._effort).solve()
        except TooLarge:
            return None

    def _take(self, label: Label | None) -> bool:
        """Whether its steps fit; they are known from then on if they are better."""
        steps = () if label is None else tuple(label.steps())
        if label is None or not self._keeps(steps):
            return False
        if label.cost < self._price:
            self._best, self._price = steps, label.cost
        return True

    def _keeps(self, steps: tuple[ComposedStep, ...]) -> bool:
        return self._caps.keep(*held_bytes(self._problem.graph, steps))

    def _is_exact(self) -> bool:
        return self._best is not None and self._price - self._bound <= CLOSE * self._price

    def _cheapest(self) -> Cheapest:
        assert self._best is not None
        return Cheapest(self._best, self._price, min(self._bound, self._price))

    def by_beams(self, tables: Suffixes) -> Cheapest | None:
        """Ever wider beams, until nothing is left out. Where nothing is found yet, every other one looks at memory
        before cost, and the search goes on until its effort is overdrawn.
        """
        moves = Moves(self._problem)
        rest = Rest(self._problem, tables)
        search = Search(tuple(moves.starts()), moves.layers(), moves.is_end, rest, self._caps)
        width = FIRST_WIDTH
        for attempt in count():
            most = self._price * (1 - CLOSE)
            thrifty = self._best is None and attempt % 2 == 1
            is_over = self._effort.is_overdrawn if self._best is None else self._effort.is_spent
            found = search.beam(width, most, self._effort, is_over, thrifty)
            self._bound = max(self._bound, min(found.bound, most))
            if found.best is not None:
                self._best, self._price = found.best.path(), found.best.cost
            if self._best is None and found.bound == INFINITE:
                return None
            if self._best is None and self._effort.is_overdrawn():
                raise UndecidedError(
                    "no combination of choices was found that keeps activations within "
                    f"{self._caps.gpu_bytes:,.0f} bytes of GPU memory and {self._caps.arena_bytes:,.0f} of the CPU's, "
                    "and not all were looked at: allow more memory"
                )
            if self._best is not None and (self._is_exact() or self._effort.is_spent()):
                return self._cheapest()
            if self._best is not None or thrifty:
                width *= WIDER
        raise AssertionError("beams never end")
