"""Readers whose demand is left open: what they take and what they get is decided apart, at prices.

A tensor that lives long multiplies the states of all layers in between. Where a reader is loose it pays a price for
the layout that it takes, and whoever produces the tensor earns the price of the layout that it provides for that
reader: prices can bring both together. Whatever they are, the least cost of all is a lower bound (a Lagrangian
relaxation of their equality).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

Reader = tuple[str, int]
"""A tensor, and the number of a node that reads it."""


@dataclass
class Loose:
    """One loose reader: what it may ask for, the price of each, or the one that it is held to."""

    values: frozenset[int]
    prices: dict[int, float] = field(default_factory=dict)
    held_to: int | None = None

    def price(self, mask: int) -> float | None:
        """What it pays for a mask; None where it must not take it."""
        if self.held_to is None:
            return self.prices.get(mask, 0.0)
        return 0.0 if mask == self.held_to else None

    def best_of(self, mask: int) -> int | None:
        """The dearest value that a mask provides; None where it provides none."""
        if self.held_to is not None:
            return self.held_to if mask & self.held_to == self.held_to else None
        provided = [value for value in self.values if mask & value == value]
        return max(provided, key=lambda value: (self.prices.get(value, 0.0), -value), default=None)


class LooseReaders:
    """All loose readers of a problem."""

    def __init__(self) -> None:
        self._of: dict[str, dict[int, Loose]] = {}

    def __iter__(self) -> Iterator[tuple[Reader, Loose]]:
        return (((tensor, n), one) for tensor, readers in self._of.items() for n, one in readers.items())

    def of(self, tensor: str) -> Mapping[int, Loose]:
        """The loose readers of a tensor, by the number of their node."""
        return self._of.get(tensor, {})

    def add(self, reader: Reader, loose: Loose) -> None:
        """Lets one more go."""
        self._of.setdefault(reader[0], {})[reader[1]] = loose

    def remove(self, reader: Reader) -> None:
        """Ties it to its producer again."""
        del self._of[reader[0]][reader[1]]

    def provisions(self, tensor: str, mask: int) -> Iterator[tuple[int, float, dict[int, int]]]:
        """Every mask that a producer may provide where the others ask for `mask`: it, what it earns, who gets what."""
        readers = self.of(tensor)
        if not readers:
            yield mask, 0.0, {}
            return
        masks = {mask}
        for loose in readers.values():
            values = loose.values if loose.held_to is None else (loose.held_to,)
            masks |= {one | value for one in masks for value in values}
        for provided in sorted(masks):
            given = {number: loose.best_of(provided) for number, loose in readers.items()}
            if None not in given.values():
                sure = {number: value for number, value in given.items() if value is not None}
                yield provided, sum(readers[n].price(value) or 0.0 for n, value in sure.items()), sure
