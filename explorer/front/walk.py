"""Every trade of memory for price, one cap after another."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol, TypeVar


class InMemory(Protocol):
    """What takes so much memory."""

    @property
    def memory_bytes(self) -> int:
        """All of it."""
        ...


Found = TypeVar("Found", bound=InMemory)


def walk(cheapest_within: Callable[[int | None], Found | None], tolerance: float) -> Iterator[Found]:
    """The cheapest without a cap, then ever the cheapest within a cap below the memory of the one before, until nothing
    fits (None).

    Of all that could have been found something is that is no dearer, and of whose memory it saves no more than the
    tolerance, a share. At 0 every trade is found.
    """
    cap: int | None = None
    while (found := cheapest_within(cap)) is not None:
        yield found
        cap = min(found.memory_bytes - 1, int(found.memory_bytes * (1 - tolerance)))
