"""Strategies without learning: every layer's candidates in one order, all layers in turn."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

from codegen.canonical import text_hash
from codegen.schedule import Candidate
from explorer.compose.timed_candidates import threads_of
from explorer.search.budget import Left
from explorer.search.layer_search import LayerSearch, SearchSettings
from explorer.search.request import Request
from explorer.search.state import SearchState
from microbench.store import Sample

Order = Callable[[Sequence[Candidate]], Sequence[Candidate]]


class _InTurn:
    """Asks once, for everything that it ever wants: the first candidate of every layer and lane, the second, and so
    on.
    """

    is_stateless = False
    reason = ""

    def __init__(self, settings: SearchSettings) -> None:
        self._settings = settings
        self._has_asked = False

    def ask(self, state: SearchState, budget: Left) -> Sequence[Request]:
        if self._has_asked:
            return ()
        self._has_asked = True
        lanes = [lane for layer in state.every for lane in self._lanes(layer, state)]
        turns = range(max(map(len, lanes), default=0))
        return [Request(lane[turn], self.reason) for turn in turns for lane in lanes if turn < len(lane)]

    def tell(self, samples: Sequence[Sample]) -> None:
        """Nothing is learned."""

    def _lanes(self, layer: LayerSearch, state: SearchState) -> Iterator[Sequence[Candidate]]:
        unknown = layer.unmeasured
        for lane in sorted({threads_of(candidate) for candidate in unknown}):
            own = self._ordered([c for c in unknown if threads_of(c) == lane], state)
            yield own[: int(min(self._most(layer), len(own)))]

    def _most(self, layer: LayerSearch) -> float:
        return layer.settings.layer_budget

    def _ordered(self, candidates: Sequence[Candidate], state: SearchState) -> Sequence[Candidate]:
        raise NotImplementedError


class RooflineOrder(_InTurn):
    """By modelled time, whatever was measured."""

    name = "roofline_order"
    reason = "next in the order of the roofline"

    def _ordered(self, candidates: Sequence[Candidate], state: SearchState) -> Sequence[Candidate]:
        times_s = state.roofline_s(candidates)
        return [candidates[i] for i in sorted(range(len(candidates)), key=times_s.__getitem__)]


class Random(_InTurn):
    """In an order that the seed draws."""

    name = "random"
    reason = "drawn"

    def _ordered(self, candidates: Sequence[Candidate], state: SearchState) -> Sequence[Candidate]:
        return sorted(candidates, key=lambda c: text_hash(f"{self._settings.seed} {c.hash}"))


class Exhaustive(_InTurn):
    """Everything, in the order of the spaces."""

    name = "exhaustive"
    reason = "everything is measured"

    def _most(self, layer: LayerSearch) -> float:
        return math.inf

    def _ordered(self, candidates: Sequence[Candidate], state: SearchState) -> Sequence[Candidate]:
        return candidates
