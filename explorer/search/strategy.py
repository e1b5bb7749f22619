"""The axis of extension that decides which candidates are measured next, and why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from codegen.schedule import Candidate
from explorer.search.budget import Left
from explorer.search.state import SearchState
from microbench.store import Sample


@dataclass(frozen=True)
class Request:
    """A candidate to be measured; `reason` says why in a line, `gain` by which part of the network's time it may help
    as far as the strategy can tell.
    """

    candidate: Candidate
    reason: str
    gain: float | None = None


class Strategy(Protocol):
    """Asked and told in turn, until it asks for nothing. What it asks depends on the state and on what it was told
    alone: a run that was interrupted goes on exactly where it stopped.
    """

    name: str

    def ask(self, state: SearchState, budget: Left) -> Sequence[Request]:
        """The next candidates, the most wanted first, none of them measured; nothing where no measurement is worth
        it. `budget` says how many there are still to be had.
        """
        ...

    def tell(self, samples: Sequence[Sample]) -> None:
        """What became of the requests that were measured, in their order; the state has them too."""
        ...
