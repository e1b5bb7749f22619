"""The primitives of expressions: value in float64, range, and cost. Each engine has a table of how it computes them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from codegen.interval import ANYTHING, Interval, hull, monotone

CALL = 20.0  # instructions of a function of the C library or its vector form, about


@dataclass(frozen=True)
class Primitive:
    """A function of `arity` numbers. `value` takes and gives float64 arrays; `bounds` intervals; `instructions` is
    what it costs a scalar core, a comparison with its move counted as two.
    """

    name: str
    arity: int
    value: Callable[..., Any]
    bounds: Callable[..., Interval]
    instructions: float


def _rising(function: Callable[[float], float]) -> Callable[[Interval], Interval]:
    return lambda x: monotone(function, x)


def _mul(a: float, b: float) -> float:
    return 0.0 if 0.0 in (a, b) else a * b  # of an end that is infinite: what lies inside is finite


def _quotient(a: Interval, b: Interval) -> Interval:
    return ANYTHING if b.low <= 0.0 <= b.high else monotone(lambda x, y: x / y, a, b)


def _absolute(x: Interval) -> Interval:
    ends = sorted((abs(x.low), abs(x.high)))
    return Interval(0.0 if x.low <= 0.0 <= x.high else ends[0], ends[1])


def _power(base: Interval, exponent: Interval) -> Interval:
    return Interval(0.0, math.inf) if base.low >= 0.0 else ANYTHING


def _floor(x: float) -> float:
    return x if math.isinf(x) else float(math.floor(x))


def _exp(x: float) -> float:
    return math.inf if x > 700.0 else math.exp(x)


def _erf(x: Any) -> Any:
    from scipy.special import erf

    return erf(x)


def _erfc(x: Any) -> Any:
    from scipy.special import erfc

    return erfc(x)


def _logarithm(offset: float) -> Callable[[Interval], Interval]:
    def bounds(x: Interval) -> Interval:
        low, high = x.low + offset, x.high + offset
        if high <= 0.0:
            return ANYTHING
        return Interval(math.log(low) if low > 0.0 else -math.inf, math.log(high))

    return bounds


def _root(x: Interval) -> Interval:
    return Interval(math.sqrt(max(x.low, 0.0)), math.sqrt(max(x.high, 0.0)))


_TRUTH = Interval(0.0, 1.0)

PRIMITIVES: Mapping[str, Primitive] = {
    primitive.name: primitive
    for primitive in (
        Primitive("add", 2, np.add, lambda a, b: monotone(lambda x, y: x + y, a, b), 1.0),
        Primitive("sub", 2, np.subtract, lambda a, b: monotone(lambda x, y: x - y, a, b), 1.0),
        Primitive("mul", 2, np.multiply, lambda a, b: monotone(_mul, a, b), 1.0),
        Primitive("div", 2, np.divide, _quotient, 15.0),
        Primitive("min", 2, np.minimum, lambda a, b: monotone(min, a, b), 2.0),
        Primitive("max", 2, np.maximum, lambda a, b: monotone(max, a, b), 2.0),
        Primitive("neg", 1, np.negative, _rising(lambda x: -x), 1.0),
        Primitive("abs", 1, np.absolute, _absolute, 1.0),
        Primitive("floor", 1, np.floor, _rising(_floor), 2.0),
        Primitive(
            "less", 2, lambda a, b: np.where(np.less(a, b), 1.0, 0.0), lambda a, b: _TRUTH, 1.0
        ),  # 1 where it holds, else 0
        Primitive("equal", 2, lambda a, b: np.where(np.equal(a, b), 1.0, 0.0), lambda a, b: _TRUTH, 1.0),
        Primitive("select", 3, lambda c, a, b: np.where(c != 0, a, b), lambda c, a, b: hull(a, b), 2.0),
        Primitive("sqrt", 1, np.sqrt, _root, 15.0),
        Primitive("exp", 1, np.exp, _rising(_exp), CALL),
        Primitive("expm1", 1, np.expm1, _rising(lambda x: _exp(x) - 1.0), CALL),
        Primitive("log", 1, np.log, _logarithm(0.0), CALL),
        Primitive("log1p", 1, np.log1p, _logarithm(1.0), CALL),
        Primitive("tanh", 1, np.tanh, _rising(math.tanh), CALL),
        Primitive("erf", 1, _erf, _rising(math.erf), CALL),
        Primitive("erfc", 1, _erfc, _rising(math.erfc), CALL),
        Primitive("pow", 2, np.power, _power, 2 * CALL),
    )
}
