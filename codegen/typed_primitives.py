"""Primitives of expressions over any element type, beside those of `codegen.primitives`, which every engine has.

They stand in a `TypedMap` alone, whose arithmetic is that of one element type.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from codegen.interval import ANYTHING, Interval
from codegen.primitives import CALL, Primitive

_TRUTH = Interval(0.0, 1.0)


def _unknown(*arguments: Interval) -> Interval:
    return ANYTHING


def _truth(*arguments: Interval) -> Interval:
    return _TRUTH


def _whole(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function of whole numbers, which float64 has exactly or numpy has itself."""

    def value(*arguments: Any) -> Any:
        return function(
            *(a.astype(np.int64) if a.dtype.kind == "f" else a for a in map(np.asarray, arguments))
        )

    return value


def _left(a: Any, b: Any) -> Any:
    """By as many bits as there are, or more, or a negative number: nothing is left."""
    bits = 8 * a.dtype.itemsize
    return np.where((b >= 0) & (b < bits), np.left_shift(a, np.clip(b, 0, bits - 1).astype(a.dtype)), 0)


def _right(a: Any, b: Any) -> Any:
    """The same, but that of a negative number its sign is left."""
    bits = 8 * a.dtype.itemsize
    within = np.right_shift(a, np.clip(b, 0, bits - 1).astype(a.dtype))
    return np.where((b >= 0) & (b < bits), within, np.where(a < 0, -1, 0))


TYPED_PRIMITIVES: Mapping[str, Primitive] = {
    primitive.name: primitive
    for primitive in (
        *(
            Primitive(name, 1, function, _unknown, CALL)
            for name, function in {
                "sin": np.sin,
                "cos": np.cos,
                "tan": np.tan,
                "asin": np.arcsin,
                "acos": np.arccos,
                "atan": np.arctan,
                "sinh": np.sinh,
                "cosh": np.cosh,
                "asinh": np.arcsinh,
                "acosh": np.arccosh,
                "atanh": np.arctanh,
                "round": np.rint,
            }.items()
        ),
        Primitive("mod", 2, np.mod, _unknown, CALL),  # of the divisor's sign
        Primitive("fmod", 2, np.fmod, _unknown, CALL),  # of the dividend's sign
        Primitive("not", 1, np.logical_not, _truth, 1.0),
        Primitive("and", 2, np.logical_and, _truth, 2.0),
        Primitive("or", 2, np.logical_or, _truth, 2.0),
        Primitive("xor", 2, np.logical_xor, _truth, 2.0),
        Primitive("isnan", 1, np.isnan, _truth, 1.0),
        Primitive("isinf", 1, np.isinf, _truth, 1.0),
        Primitive("bitand", 2, _whole(np.bitwise_and), _unknown, 1.0),
        Primitive("bitor", 2, _whole(np.bitwise_or), _unknown, 1.0),
        Primitive("bitxor", 2, _whole(np.bitwise_xor), _unknown, 1.0),
        Primitive("bitnot", 1, _whole(np.bitwise_not), _unknown, 1.0),
        Primitive("shl", 2, _whole(_left), _unknown, 2.0),
        Primitive("shr", 2, _whole(_right), _unknown, 2.0),
    )
}
