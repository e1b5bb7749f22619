"""Numbers rounded to integers of a few bits: the last step of an epilogue that writes quantised elements."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from codegen.expression import RESULT, Apply, Constant, Expression, Operand, apply, as_clamp, clamp
from codegen.tensor import Doubles, FloatArray

LARGEST_INSIDE = 1 << 16


@dataclass(frozen=True)
class Requantization:
    """`min(max(round(value) + zero, low), high)`: rounded to the nearest even, moved by the zero point, saturated."""

    value: Expression
    zero: int
    low: int
    high: int

    @property
    def expression(self) -> Expression:
        """As a tree."""
        whole = apply("round", self.value)
        return clamp(whole + self.zero if self.zero else whole, float(self.low), float(self.high))

    def moved(self, distance: int) -> Requantization:
        """The same integers, each so much larger."""
        return Requantization(self.value, self.zero + distance, self.low + distance, self.high + distance)


@dataclass(frozen=True)
class RoundedProduct:
    """`min(max(round(product + inside) + zero, low), high)` of a product that is exact: it is rounded once."""

    inside: int
    zero: int
    low: int
    high: int

    def values(self, product: Doubles) -> Doubles:
        """Of products in float64."""
        return np.asarray(np.clip(np.rint(product + self.inside) + self.zero, self.low, self.high))


def as_rounded_product(expression: Expression) -> RoundedProduct | None:
    """A rounding of a layer's result, or of it and an integer, to a few bits; None: it is something else."""
    found = as_requantization(expression)
    if found is None:
        return None
    inside, value = 0.0, found.value
    if isinstance(value, Apply) and value.primitive == "add":
        first, second = value.arguments
        if isinstance(second, Constant):
            value, inside = first, second.value
    if value != RESULT or not inside.is_integer() or abs(inside) > LARGEST_INSIDE:
        return None
    return RoundedProduct(int(inside), found.zero, found.low, found.high)


def with_exact_products(
    expression: Expression, product: Doubles, operands: Sequence[FloatArray]
) -> FloatArray:
    """An epilogue's value in float32; where it rounds the result (a product in float64) to integers, there is one
    rounding alone.
    """
    given = list(operands)

    def replaced(part: Expression) -> Expression:
        rounded = as_rounded_product(part)
        if rounded is not None:
            given.append(rounded.values(product).astype(np.float32))
            return Operand(len(given) - 1)
        if not isinstance(part, Apply):
            return part
        return apply(part.primitive, *map(replaced, part.arguments))

    return np.asarray(replaced(expression).typed_value(given), dtype=np.float32)


def requantized(value: Expression, zero: int, dtype: str) -> Expression:
    """A value as integers of an element type."""
    limits = np.iinfo(dtype)
    return Requantization(value, zero, int(limits.min), int(limits.max)).expression


def is_within(expression: Expression, dtype: str) -> bool:
    """Whether it gives whole numbers that an element type of integers has."""
    found, limits = as_requantization(expression), np.iinfo(dtype)
    return found is not None and limits.min <= found.low and found.high <= limits.max


def is_arithmetic(expression: Expression) -> bool:
    """Whether it is made of sums, products, quotients, ends, and rounding between ends."""
    found = as_requantization(expression)
    if found is not None:
        return is_arithmetic(found.value)
    value, low, high = as_clamp(expression)
    if low is not None or high is not None:
        return is_arithmetic(value)
    if isinstance(expression, Apply):
        known = ("add", "sub", "mul", "div", "neg")
        return expression.primitive in known and all(map(is_arithmetic, expression.arguments))
    return True


@dataclass(frozen=True)
class Dequantization:
    """`(x - zero) * scale` of integers."""

    zero: int
    scale: float

    @property
    def expression(self) -> Expression:
        """As a tree."""
        return (RESULT - float(self.zero)) * self.scale


def as_dequantization(expression: Expression) -> Dequantization | None:
    """An expression as a distance from a zero point times a scale, or None where it is none."""
    if not isinstance(expression, Apply) or expression.primitive != "mul":
        return None
    distance, scale = expression.arguments
    if not isinstance(distance, Apply) or distance.primitive != "sub" or not isinstance(scale, Constant):
        return None
    value, zero = distance.arguments
    if value != RESULT or not isinstance(zero, Constant) or not zero.value.is_integer():
        return None
    return Dequantization(int(zero.value), scale.value)


def as_requantization(expression: Expression) -> Requantization | None:
    """An expression as a rounding to integers between two ends, or None where it is none.

    Clamps before the rounding are taken behind it, where their ends are integers: rounding is monotone.
    """
    whole, low, high = as_clamp(expression)
    moved = 0
    while isinstance(whole, Apply) and whole.primitive in ("add", "sub"):
        inner, distance = whole.arguments
        if isinstance(inner, Constant) and whole.primitive == "add":
            inner, distance = distance, inner
        if not isinstance(distance, Constant) or not distance.value.is_integer():
            return None
        moved += int(distance.value) if whole.primitive == "add" else -int(distance.value)
        whole = inner
        if as_clamp(whole).value != whole:  # ends, and again a distance behind them
            inside = as_requantization(whole)
            return _within(inside.moved(moved), low, high) if inside else None
    if low is None or high is None or not (low.is_integer() and high.is_integer()):
        return None
    if not isinstance(whole, Apply) or whole.primitive != "round":
        return None
    value, first, last = as_clamp(whole.arguments[0])
    ends = [None if end is None else float(np.rint(np.float32(end))) + moved for end in (first, last)]
    found = Requantization(value, moved, int(low), int(high))
    return _ended(found, *ends)


def _within(found: Requantization, low: float | None, high: float | None) -> Requantization | None:
    """Behind further ends, which are integers or open."""
    if any(end is not None and not end.is_integer() for end in (low, high)):
        return None
    return Requantization(
        found.value, found.zero, *(int(clamped(end, low, high)) for end in (found.low, found.high))
    )


def _ended(found: Requantization, first: float | None, last: float | None) -> Requantization:
    """Its ends where the value itself lies between two ends, already rounded and moved."""
    low = clamped(-math.inf if first is None else first, found.low, found.high)
    high = clamped(math.inf if last is None else last, found.low, found.high)
    return Requantization(found.value, found.zero, int(min(low, high)), int(high))


def clamped(value: float, low: float | None, high: float | None) -> float:
    """A number between two ends, either of which may be open."""
    value = value if low is None else max(value, low)
    return value if high is None else min(value, high)


def without_factor(value: Expression) -> tuple[Expression, float]:
    """An expression of the result alone as one of the result times a factor, and that factor, above 0; 1 where the
    result is not multiplied first of all. Of clamps in between the ends are divided.
    """
    if isinstance(value, Apply) and value.primitive in ("mul", "div") and value.arity == 1:
        inner, number = value.arguments
        if isinstance(inner, Constant) and value.primitive == "mul":
            inner, number = number, inner
        if isinstance(number, Constant) and number.value > 0.0:
            factor = number.value if value.primitive == "mul" else 1.0 / number.value
            body, low, high = as_clamp(inner)
            rest, further = without_factor(body)
            if rest == RESULT:
                ends = (None if end is None else end * factor for end in (low, high))
                return clamp(RESULT, *ends), factor * further
    return value, 1.0
