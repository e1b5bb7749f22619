"""What a long run tells whoever watches it."""

from __future__ import annotations

from typing import Protocol

from microbench.store import Sample


class Progress(Protocol):
    """Receives news from the main thread only."""

    def phase(self, title: str) -> None:
        """A new part of the run begins."""
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


class Silent:
    """Tells nobody."""

    def phase(self, title: str) -> None: ...

    def expect(self, measurements: int) -> None: ...

    def done(self) -> None: ...

    def sample(self, sample: Sample, measured: bool) -> None: ...
