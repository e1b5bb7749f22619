"""Whole numbers that sizes are made of: those known before the run, and those of the run with a least and a most."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

LEAST, MOST = -(2**63), 2**63 - 1  # of an int64 of which nothing else is known


@dataclass(frozen=True, repr=False)
class Quantity:
    """A whole number that the run gives: the int64 scalar `tensor`, which is `least` to `most`."""

    tensor: str
    least: int
    most: int

    def __repr__(self) -> str:
        return repr(self.tensor)


Number = int | Quantity
Linear = tuple[Quantity | None, int, int]
"""A quantity, or None of a known number, how many times it is taken, and what is added."""
Numbers = NDArray[Any]
"""Of objects that are a `Number` each."""


def least(number: Number) -> int:
    """The least that a number can be."""
    return number.least if isinstance(number, Quantity) else number


def most(number: Number) -> int:
    """The most that a number can be."""
    return number.most if isinstance(number, Quantity) else number


class Quantities:
    """What is known of tensors of whole numbers, by name, and every quantity that was made of others: the same of the
    same is the same quantity, so that lengths that are equal are found to be.
    """

    def __init__(self) -> None:
        self._by_tensor: dict[str, Quantity] = {}
        self._numbers: dict[str, Numbers] = {}
        self._made: dict[tuple[object, ...], Number] = {}
        self._linear: dict[str, Linear] = {}

    def add(self, tensor: str, least: int, most: int) -> Quantity:
        """The quantity that an int64 scalar is, within these ends where it was not known before."""
        return self._by_tensor.setdefault(tensor, Quantity(tensor, least, most))

    def has(self, tensor: str) -> bool:
        """Whether that scalar is a quantity."""
        return tensor in self._by_tensor

    def numbers(self, tensor: str) -> Numbers | None:
        """What stands in a computed tensor, where that is known of every element."""
        return self._numbers.get(tensor)

    def set_numbers(self, tensor: str, numbers: Numbers) -> None:
        """Declares what stands in a computed tensor."""
        self._numbers[tensor] = numbers

    def made(self, key: tuple[object, ...]) -> Number | None:
        """What was made of these things before."""
        return self._made.get(key)

    def keep(self, key: tuple[object, ...], number: Number) -> None:
        """Remembers what was made of these things."""
        self._made[key] = number

    def linear(self, number: Number) -> Linear:
        """What a number is of another: that, how many times, and what is added."""
        if isinstance(number, int):
            return None, 0, number
        return self._linear.get(number.tensor, (number, 1, 0))

    def set_linear(self, number: Quantity, linear: Linear) -> None:
        """Declares what a quantity is of another one."""
        self._linear[number.tensor] = linear


def as_numbers(values: object) -> Numbers:
    """Numbers, or lists of them, as an array of objects."""
    return np.array(values, dtype=object)
