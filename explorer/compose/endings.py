"""From behind a node on: what its outputs have to be provided as, how layouts are changed for that, and the costs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import NamedTuple

from explorer.compose.activity import Activity
from explorer.compose.demands import Demands
from explorer.compose.layout_changes import Changes, LayoutChanges
from explorer.compose.loose import LooseReaders
from explorer.compose.offers import Offer
from explorer.compose.problem import Problem
from explorer.compose.rivals import INFINITE

Paths = tuple[tuple[tuple[int, float], ...], ...]
"""For each state of activity before layout changes the states behind them, with the least that it costs."""


class Provision(NamedTuple):
    """Layout changes that provide a mask, what loose readers pay for that, and who gets what."""

    earned: float
    changes: Changes
    given: Mapping[int, int]


class Provided(NamedTuple):
    """The ways to provide for one output, and the cheapest of them; no paths where nothing is changed."""

    provisions: Sequence[Provision]
    paths: Paths | None

    @staticmethod
    def by(provisions: Sequence[Provision]) -> Provided:
        """Of at least one provision."""
        paths = tuple(_cheapest(provisions, active) for active in range(len(provisions[0].changes)))
        is_nothing = all(path == ((active, 0.0),) for active, path in enumerate(paths))
        return Provided(provisions, None if is_nothing else paths)


class Stage(NamedTuple):
    """What one output is provided as, and the costs behind."""

    tensor: str
    provided: Provided
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
            if stage.provided.paths is None:
                continue
            behind = [INFINITE] * len(costs)
            for cost, path in zip(costs, stage.provided.paths, strict=True):
                for after, price in path:
                    behind[after] = min(behind[after], cost + price)
            costs = behind
        return costs


class Endings:
    """The endings of one problem's nodes, at the prices that loose readers have."""

    def __init__(self, problem: Problem, demands: Demands, activity: Activity, loose: LooseReaders) -> None:
        self._problem = problem
        self._demands = demands
        self._activity = activity
        self._loose = loose
        self._changes = LayoutChanges(problem, demands, activity)
        self._priced: dict[tuple[object, ...], Mapping[int, Provided]] = {}
        self._tied: dict[tuple[object, ...], Mapping[int, Provided]] = {}
        self._kinds: dict[str, int] = {}
        self._kind_of: dict[tuple[object, ...], int] = {}

    def forget_prices(self) -> None:
        """To be called when prices of loose readers have changed."""
        self._priced.clear()

    def of(
        self, offer: Offer, demands: Sequence[tuple[str, int]], costs: Sequence[float]
    ) -> Iterator[Ending]:
        """From behind a node on that offers so, for each memory that its outputs may be bound to."""
        per_output = [
            self._provided(offer, tensor, layout, mask)
            for (tensor, mask), layout in zip(demands, offer.outputs, strict=True)
        ]
        if len(demands) == 1:
            for bound, provided in per_output[0].items():
                stage = Stage(demands[0][0], provided, costs)
                yield Ending(_before(provided, costs), (bound,), (stage,))
            return
        for bounds in product(*per_output):
            found, stages = costs, []
            for (tensor, _), every, bound in reversed([*zip(demands, per_output, bounds, strict=True)]):
                stages.append(Stage(tensor, every[bound], found))
                found = _before(every[bound], found)
            yield Ending(found, bounds, tuple(reversed(stages)))

    def _provided(self, offer: Offer, tensor: str, layout: str, mask: int) -> Mapping[int, Provided]:
        is_loose = bool(self._loose.of(tensor))
        known = self._priced if is_loose else self._tied
        what = tensor if is_loose else self._kind(tensor)
        key = (what, layout, mask, offer.writes, offer.may_be_part)
        if key not in known:
            known[key] = self._sought(offer, tensor, layout, mask)
        return known[key]

    def _kind(self, tensor: str) -> int:
        """The same for tensors of which the same may be asked."""
        if tensor not in self._kinds:
            key = (self._problem.graph.types[tensor], self._problem.wanted_layouts(tensor))
            self._kinds[tensor] = self._kind_of.setdefault(key, len(self._kind_of))
        return self._kinds[tensor]

    def _sought(self, offer: Offer, tensor: str, layout: str, mask: int) -> Mapping[int, Provided]:
        found: dict[int, list[Provision]] = {}
        for provided, earned, given in self._loose.provisions(tensor, mask):
            if self._demands.placed_in(provided) is not None and not offer.may_be_part:
                continue
            for bound, changes in self._changes.of(tensor, layout, provided).items():
                if self._demands.allows(layout, bound, offer.writes):
                    found.setdefault(bound, []).append(Provision(earned, changes, given))
        return {bound: Provided.by(provisions) for bound, provisions in found.items()}


def _before(provided: Provided, costs: Sequence[float]) -> Sequence[float]:
    """The least costs before layout changes, by what is active there, where they are so behind them."""
    if provided.paths is None:
        return costs
    return [min(price + costs[after] for after, price in path) for path in provided.paths]


def _cheapest(provisions: Sequence[Provision], active: int) -> tuple[tuple[int, float], ...]:
    best: dict[int, float] = {}
    for provision in provisions:
        for change in provision.changes[active]:
            price = change.cost - provision.earned
            best[change.after] = min(best.get(change.after, INFINITE), price)
    return tuple(best.items())
