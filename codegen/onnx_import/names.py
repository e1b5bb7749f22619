"""Unique names: the one wanted, or with a number behind it where it is taken."""

from __future__ import annotations

from collections.abc import Iterable


class Names:
    """The names taken so far; none is ever given back, so that a series of numbers goes on where it stopped."""

    def __init__(self) -> None:
        self._taken: set[str] = set()
        self._next: dict[str, int] = {}

    def reserve(self, names: Iterable[str]) -> None:
        """Takes names that nothing else may have."""
        self._taken.update(names)

    def take(self, wanted: str) -> str:
        """`wanted`, or `wanted_2` and so on, whichever is free first; taken from then on."""
        name, suffix = wanted, self._next.get(wanted, 2)
        while name in self._taken:
            name, suffix = f"{wanted}_{suffix}", suffix + 1
        self._next[wanted] = suffix
        self._taken.add(name)
        return name
