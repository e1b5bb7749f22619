"""How much may be spent behind a state, where only what is cheap enough counts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

from explorer.compose.rivals import INFINITE


class Horizon(Protocol):
    """`most`: what a whole composition has to stay below."""

    @property
    def most(self) -> float: ...

    def room(self, place: int, asked: Iterable[tuple[str, int]] = ()) -> float:
        """For all from the node of that number on, where that is asked for before it, of other tensors whatever."""
        ...

    def rooms(self, place: int, asked: Sequence[tuple[str, int]]) -> Sequence[float]:
        """By what is active, where so much is asked for before the node of that number, as demands without bounds."""
        ...


class Endless:
    """Everything counts."""

    most = INFINITE

    def __init__(self, activities: int) -> None:
        self._rooms = (INFINITE,) * activities

    def room(self, place: int, asked: Iterable[tuple[str, int]] = ()) -> float:
        return INFINITE

    def rooms(self, place: int, asked: Sequence[tuple[str, int]]) -> Sequence[float]:
        return self._rooms
