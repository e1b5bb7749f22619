"""Where what a search works out outlives it: a `Store`."""

from __future__ import annotations

from typing import Protocol

from explorer.measure.programs import DigestKeeper


class RoundKeeper(Protocol):
    """Keeps what strategies asked for."""

    def round(self, key: str) -> str | None:
        """What was kept by this key, None: nothing."""
        ...

    def add_round(self, key: str, content: str) -> None:
        """Takes a round."""
        ...


class Keeper(DigestKeeper, RoundKeeper, Protocol):
    """Both."""
