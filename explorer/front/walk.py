"""Every trade of memory for price, one cap after another."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
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


def counted(
    walked: Iterable[Found], least_bytes: int, parts: int, done: Callable[[], object]
) -> Iterator[Found]:
    """The same, told in `parts`: as many are done as of the way from the first one's memory to about the last one's is
    behind, by its logarithm, and all of them at the end.
    """
    told, first = 0, 0
    for found in walked:
        first = first or found.memory_bytes
        way = math.log(max(first, 1) / max(least_bytes, 1))
        behind = math.log(max(first, 1) / max(found.memory_bytes, 1))
        share = min(1.0, behind / way) if way > 0 else 0.0
        while told < int(share * (parts - 1)):
            done()
            told += 1
        yield found
    for _ in range(parts - told):
        done()
