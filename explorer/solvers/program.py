"""A binary program, and what a solver of it answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol


class Row(NamedTuple):
    """A sum of variables, by number, with factors, that has to lie between two values."""

    factors: Mapping[int, float]
    least: float
    most: float


@dataclass
class Program:
    """Variables of 0 or 1, by number, of which each has a price in seconds; the sum of what they cost is minimised."""

    prices: list[float] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)

    def variable(self, price: float) -> int:
        """One more, and its number."""
        self.prices.append(price)
        return len(self.prices) - 1

    def require(self, factors: Mapping[int, float], least: float, most: float) -> None:
        """One more row."""
        self.rows.append(Row(factors, least, most))


@dataclass(frozen=True)
class Solved:
    """`ones`: the numbers of the variables that are 1 in the best found, None where none was found; `bound`: seconds
    that no assignment falls below. `is_impossible`: it is proven that there is none.
    """

    ones: Sequence[int] | None
    bound: float
    is_impossible: bool = False


class Solver(Protocol):
    """A solver of binary programs."""

    name: str

    def solve(self, program: Program, wall_s: float) -> Solved:
        """The best found in so many seconds. Raises MissingExtraError where its package is not installed."""
        ...
