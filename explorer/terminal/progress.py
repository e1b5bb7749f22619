"""What a long run tells whoever watches it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from explorer.terminal.units import seconds
from microbench.store import Sample


@dataclass(frozen=True)
class Outlook:
    """How a round of measurements begins. `best_s`: what the fastest plan so far should take, None where nobody has
    composed one; `left`: what there is left of the budget; `reasons`: what is measured and why, by the candidates'
    hashes.
    """

    best_s: float | None
    left: str
    reasons: Mapping[str, str]

    @property
    def text(self) -> str:
        """The plan and the budget in a few words."""
        best = "" if self.best_s is None else f"best plan so far {seconds(self.best_s)}"
        return ", ".join(part for part in (best, self.left) if part)


@dataclass(frozen=True)
class FoundPlan:
    """A plan of the whole network: seconds of an inference, of which `kind` they are, and bytes of its activations."""

    name: str
    time_s: float
    memory_bytes: float
    kind: str


class Progress(Protocol):
    """Receives news from the main thread only."""

    def directory(self, place: Path) -> None:
        """The run has a directory of results."""
        ...

    def phase(self, title: str) -> None:
        """A new part of the run begins."""
        ...

    def outlook(self, outlook: Outlook) -> None:
        """The phase is a round of a search."""
        ...

    def expect(self, measurements: int) -> None:
        """So many candidates are about to be measured or looked up, or things to be done."""
        ...

    def done(self) -> None:
        """One of the things that were expected is done."""
        ...

    def sample(self, sample: Sample, measured: bool) -> None:
        """One of them is known; `measured` is False where the store knew it."""
        ...

    def plan(self, plan: FoundPlan) -> None:
        """A whole plan was composed, or run."""
        ...


class Silent:
    """Tells nobody."""

    def directory(self, place: Path) -> None: ...

    def phase(self, title: str) -> None: ...

    def outlook(self, outlook: Outlook) -> None: ...

    def expect(self, measurements: int) -> None: ...

    def done(self) -> None: ...

    def sample(self, sample: Sample, measured: bool) -> None: ...

    def plan(self, plan: FoundPlan) -> None: ...
