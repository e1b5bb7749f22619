"""The axis of extension that decides which candidates are measured next, and why."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from explorer.search.budget import Left
from explorer.search.request import Request
from explorer.search.state import SearchState
from microbench.store import Sample


class Strategy(Protocol):
    """Asked and told in turn, until it asks for nothing. What it asks depends on the state and on what it was told
    alone: a run that was interrupted goes on exactly where it stopped.

    `is_stateless`: whether it depends on the state alone, not on what was asked and told before either, nor on the
    budget; what was asked in an earlier run then serves in place of asking again.
    """

    name: str
    is_stateless: bool

    def ask(self, state: SearchState, budget: Left) -> Sequence[Request]:
        """The next candidates, the most wanted first, none of them measured; nothing where no measurement is worth
        it. `budget` says how many there are still to be had.
        """
        ...

    def tell(self, samples: Sequence[Sample]) -> None:
        """What became of the requests that were measured, in their order; the state has them too."""
        ...
