"""The cheapest composition that so much memory holds, with a lower bound: the board's for its GPU, or all of a plan's.

What buffers take peaks; what layers keep for themselves (weights, streams, code, scratch memory) adds up. The sum is
kept by a price for each of its bytes: the cheapest composition at any price bounds what one within the budget costs
(Lagrangian relaxation; the best price by Kelley's cutting planes, of one variable). What is left is branch and bound:
the layer that keeps most is launched or it is not. The peak is kept by caps on what is held.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import count

from codegen.bundle.tasks import is_view
from codegen.schedule import Candidate
from explorer.compose.compose import Composition, Limits, retimed
from explorer.compose.decomposition import CLOSE
from explorer.compose.effort import Effort
from explorer.compose.problem import Sides
from explorer.compose.steps import Overheads
from explorer.compose.timed_candidates import TimedCandidate, TimedCandidates, by_candidate
from explorer.errors import CompositionError, TooLittleMemoryError, UndecidedError

THRIFT = 1e4  # free compositions that a byte less is worth where nothing but memory counts
MOST_PRICES = 20
MOST_BRANCHES = 60
NEAR = 1e-3  # a proven gap that is small enough
TOGETHER = 6.0  # times what one composition may take, for all that keep within a limit


@dataclass(frozen=True)
class Charged:
    """A composition by its own price, the bytes that each layer keeps beside the buffers, by name (layout changes and
    what else has no name are one), and those that buffers hold.

    `penalty`: the price of a byte that is kept; `least_charged`: what any composition of the same request costs at
    least with it.
    """

    composition: Composition
    price: float
    keeps: Mapping[str, int]
    held: int
    penalty: float
    least_charged: float

    @property
    def kept(self) -> int:
        """By all layers."""
        return sum(self.keeps.values())

    @property
    def needed(self) -> int:
        """All bytes."""
        return self.kept + self.held

    @property
    def charged(self) -> float:
        """Its price with that of the bytes."""
        return self.price + self.penalty * self.kept

    def bound(self, budget: float) -> float:
        """What any composition of the same request costs at least that keeps no more than the budget."""
        return self.least_charged - self.penalty * budget


@dataclass(frozen=True)
class Request:
    """The cheapest composition, where a byte that is kept costs so much, and buffers hold no more than the cap."""

    penalty: float
    cap: float
    sides: Sides = Sides()  # noqa: RUF009


Compose = Callable[[TimedCandidates, Limits, float], Composition]
"""The cheapest composition of candidates within limits, whose buffers hold no more than a cap; raises CompositionError
where there is none.
"""


@dataclass(frozen=True)
class Keeping:
    """Compositions of one graph whose layers keep memory: what each candidate of a layer `keeps`, and what the buffers
    of a composition hold (`held`).
    """

    ways: TimedCandidates
    overheads: Overheads
    limits: Limits
    compose: Compose
    keeps: Callable[[TimedCandidate], int]
    held: Callable[[Composition], int]

    def within(self, free: Composition, room: int) -> Composition:
        """The best found that keeps within so many bytes; `free` is the cheapest without that limit.

        Raises TooLittleMemoryError where none keeps within.
        """
        charged = self.charged(free, free, 0.0)
        if charged.needed <= room:
            return free
        effort = Effort(TOGETHER * self.limits.seconds, self.limits.wall_s)
        sharing = replace(self, limits=replace(self.limits, effort=effort))
        search = _Search(charged, room, sharing.charged_composition, effort)
        search.run()
        return search.result()

    def charged_composition(self, request: Request) -> Charged:
        """What is best where kept bytes have a price; raises CompositionError where there is none."""
        sides, penalty = request.sides, request.penalty
        limits = replace(
            self.limits,
            called=self.limits.called | sides.called,
            launched=self.limits.launched | sides.launched,
        )
        dear = {spec: tuple(self._dearer(way, penalty) for way in ways) for spec, ways in self.ways.items()}
        found = self.compose(dear, limits, request.cap)
        own = retimed(found, self._by_candidate, self.overheads)
        return self.charged(found, replace(own, launches=found.launches), penalty)

    def charged(self, found: Composition, own: Composition, penalty: float) -> Charged:
        """`found`, with dearer candidates, as what it is by its `own`."""
        keeps: dict[str, int] = {}
        for step in own.steps:
            if not step.is_free:
                name = step.node.name if step.node is not None else ""
                keeps[name] = keeps.get(name, 0) + self.keeps(step.timed)
        least = self.limits.price(found) * (1 - found.gap)
        return Charged(own, self.limits.price(own), keeps, self.held(own), penalty, least)

    @cached_property
    def _by_candidate(self) -> Mapping[Candidate, TimedCandidate]:
        return by_candidate(self.ways)

    def _dearer(self, way: TimedCandidate, penalty: float) -> TimedCandidate:
        if not penalty or is_view(way.candidate.spec, way.candidate.choice):
            return way
        return replace(way, charge=way.charge + penalty * self.keeps(way))


@dataclass(frozen=True)
class _Branch:
    """What layers have to do, what any such composition costs at least, and one that is too large."""

    sides: Sides
    bound: float
    found: Charged

    def undecided(self) -> str | None:
        """The layer that keeps most of those whose side is open."""
        decided = {"", *self.sides.called, *self.sides.launched}
        free = {name: kept for name, kept in self.found.keeps.items() if kept and name not in decided}
        return max(free, key=lambda name: free[name], default=None)


class _Search:
    def __init__(
        self, free: Charged, room: int, compose: Callable[[Request], Charged], effort: Effort
    ) -> None:
        self._effort = effort
        self._free = free
        self._room = room
        self._compose = compose
        self._best: Charged | None = None
        self._bound = free.least_charged
        self._least = free.needed
        self._unsolved: list[float] = []  # bounds of what no layer's side can decide
        self._thrift = THRIFT * max(free.price, CLOSE)

    def run(self) -> None:
        self._fit()
        if self._best is not None:
            self._branch(self._best_penalty())

    def result(self) -> Composition:
        if self._best is None:
            raise TooLittleMemoryError(self._room, self._least)
        gap = self._gap(self._bound)
        return replace(self._best.composition, gap=gap if gap > CLOSE else 0.0)

    def _fit(self) -> None:
        """Whatever fits, where anything does: what is kept at least leaves so much for buffers, which may ask for more
        to be kept.
        """
        cap: float = self._room
        while self._best is None and cap >= 0:
            found = self._take(Request(self._thrift, cap))
            if found is None:
                return
            cap = self._room - found.kept

    def _best_penalty(self) -> float:
        """The price of a byte that gives the best bound."""
        dear, thrifty = self._free, self._take(Request(self._thrift, self._room))
        penalty = 0.0
        for _ in range(MOST_PRICES):
            if thrifty is None or not thrifty.kept <= self._room < dear.kept or self._effort.is_spent():
                break
            penalty = (thrifty.price - dear.price) / (dear.kept - thrifty.kept)
            middle = self._take(Request(penalty, self._room)) if penalty > 0 else None
            if middle is None or middle.charged >= (dear.price + penalty * dear.kept) * (1 - CLOSE):
                break
            dear, thrifty = (middle, thrifty) if middle.kept > self._room else (dear, middle)
        return penalty

    def _branch(self, penalty: float) -> None:
        """Best first, until nothing is left that may be better by much, or enough was looked at."""
        order = count()
        waiting: list[tuple[float, int, _Branch]] = []

        def consider(sides: Sides) -> None:
            branch = self._solve(sides, penalty)
            if branch is not None:
                heapq.heappush(waiting, (branch.bound, next(order), branch))

        consider(Sides())
        for _ in range(MOST_BRANCHES):
            if not waiting or self._gap(waiting[0][0]) <= NEAR or self._effort.is_spent():
                break
            _, _, branch = heapq.heappop(waiting)
            name = branch.undecided()
            if name is None:
                self._unsolved.append(branch.bound)
                continue
            consider(branch.sides._replace(called=branch.sides.called | {name}))
            consider(branch.sides._replace(launched=branch.sides.launched | {name}))
        assert self._best is not None
        left = min((*self._unsolved, *(bound for bound, _, _ in waiting), self._best.price))
        self._bound = max(self._bound, left)

    def _solve(self, sides: Sides, penalty: float) -> _Branch | None:
        """None where nothing of these sides fits and is better, or what does is found."""
        thrifty = self._take(Request(self._thrift, self._room, sides))
        if thrifty is None:
            return None
        cap = self._room - self._least_kept(thrifty)
        found = self._take(Request(0.0, cap, sides)) if cap >= 0 else None
        if found is None:
            return None
        bound = found.bound(0)
        if found.needed <= self._room:
            self._unsolved.append(bound)
            return None
        if penalty:
            dearer = self._take(Request(penalty, cap, sides))
            bound = bound if dearer is None else max(bound, dearer.bound(self._room))
        if found.kept <= self._room:
            self._take(Request(0.0, self._room - found.kept, sides))
        return _Branch(sides, bound, found) if self._gap(bound) > 0 else None

    def _least_kept(self, thrifty: Charged) -> int:
        """Bytes that all keep that are better than the best, of those where nothing but memory counts."""
        assert self._best is not None
        return max(0, math.ceil((thrifty.least_charged - self._best.price) / thrifty.penalty))

    def _take(self, request: Request) -> Charged | None:
        """What there is of it; known from then on where it fits and is better."""
        try:
            found = self._compose(request)
        except UndecidedError:
            self._unsolved.append(self._free.least_charged)
            return None
        except CompositionError:
            return None
        self._least = min(self._least, found.needed)
        if found.needed <= self._room and (self._best is None or found.price < self._best.price):
            self._best = found
        return found

    def _gap(self, bound: float) -> float:
        """What of the best price nothing is known to need, where all else costs so much at least."""
        assert self._best is not None
        return max(0.0, 1 - bound / self._best.price) if self._best.price else 0.0
