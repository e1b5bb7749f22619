"""A strategy: of each layer the candidates with the largest tiles, whatever was measured."""

from __future__ import annotations

import math
from collections.abc import Sequence

from codegen.schedule import Candidate
from explorer.compose.timed_candidates import Interface
from explorer.search.budget import Left
from explorer.search.layer_search import LayerSearch, SearchSettings
from explorer.search.request import Request
from explorer.search.state import SearchState
from microbench.store import Sample


class LargestTiles:
    """Asks once. What a plan needs, one candidate for each way to meet its neighbours, is flagged as needed."""

    name = "largest_tiles"
    is_stateless = False  # it remembers that it has asked

    def __init__(self, settings: SearchSettings) -> None:
        self._most = settings.layer_budget
        self._has_asked = False

    def ask(self, state: SearchState, budget: Left) -> Sequence[Request]:
        if self._has_asked:
            return ()
        self._has_asked = True
        return [request for layer in state.every for request in self._of(layer)]

    def tell(self, samples: Sequence[Sample]) -> None:
        """Nothing is learned."""

    def _of(self, layer: LayerSearch) -> list[Request]:
        ordered = sorted(layer.unmeasured, key=lambda one: (-_size(one), one.hash))
        first: dict[Interface, str] = {}
        for candidate in ordered:
            first.setdefault(Interface.of(candidate), candidate.hash)
        needed = set(first.values())
        return [
            Request(candidate, f"a tile of {_size(candidate):g}", is_needed=candidate.hash in needed)
            for place, candidate in enumerate(ordered)
            if place < self._most or candidate.hash in needed
        ]


def _size(candidate: Candidate) -> float:
    """Sizes along all axes multiplied; names along others count as 1."""
    sizes = (value for _, value in candidate.choice.tile)
    return math.prod(max(1.0, float(value)) for value in sizes if isinstance(value, int))
