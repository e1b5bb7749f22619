"""C text of epilogues in float32 that end in integers of 8 bits, of vectors of sums."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from codegen.engines.cpu.expression_text import INFIX
from codegen.engines.cpu.source import float_literal
from codegen.expression import Apply, Constant, Expression, Operand, as_clamp
from codegen.requantization import RoundedProduct, as_requantization, as_rounded_product
from codegen.tensor import Array

LEAST_DIVISOR, MOST_DIVISOR = 1e-30, 1e30  # with finite reciprocals, and finite multiples by what 8 bits hold
FLOAT_INTEGERS = 1 << 24  # up to which a float holds every integer
SATURATING_FACTOR = 2.0**-14  # by which larger sums give more than 8 bits hold

VECTORS = {"float32": "real", "int32": "sum", "uint8": "byte", "int8": "tiny"}
"""The C types of as many elements as there are lanes, without their number."""


@dataclass(frozen=True)
class Total:
    """C texts of a vector of int32 sums and of the factors that they are multiplied by; `is_large`: sums may be more
    than a float holds where their products are not.
    """

    sums: str
    factor: str
    is_large: bool

    def rounded(self, lanes: int, found: RoundedProduct) -> str:
        """The products, rounded once."""
        name = "rounded_large" if self.is_large else "rounded"
        ends = (float_literal(float(end - found.zero)) for end in (found.low, found.high))
        inside = float_literal(float(found.inside))
        text = f"{name}{lanes}({', '.join([self.sums, self.factor, inside, *ends])})"
        return f"({text} + {found.zero})" if found.zero else text


def real_text(lanes: int, expression: Expression, operands: Sequence[str], total: Total | None = None) -> str:
    """C text of an expression of vectors `real<lanes>`. `total`: what operand 0 is the product of."""
    if as_requantization(expression) is not None:
        return f"__builtin_convertvector({whole_text(lanes, expression, operands, total)}, real{lanes})"
    if isinstance(expression, Operand):
        return operands[expression.index]
    if isinstance(expression, Constant):
        return float_literal(expression.value)  # C's operators spread a number over a vector
    value, low, high = as_clamp(expression)
    if low is not None or high is not None:
        return _ended(lanes, real_text(lanes, value, operands, total), low, high)
    assert isinstance(expression, Apply)
    arguments = [real_text(lanes, argument, operands, total) for argument in expression.arguments]
    if expression.primitive == "neg":
        return f"(-{arguments[0]})"
    if expression.primitive in (
        "add",
        "sub",
    ):  # compilers would round a product and the sum that it is part of once
        arguments = [
            f"apart{lanes}({text})" if _is_product(argument) else text
            for text, argument in zip(arguments, expression.arguments, strict=True)
        ]
    return f"({arguments[0]} {INFIX[expression.primitive]} {arguments[1]})"


def _is_product(expression: Expression) -> bool:
    return isinstance(expression, Operand) or (
        isinstance(expression, Apply) and expression.primitive == "mul"
    )


def whole_text(
    lanes: int, expression: Expression, operands: Sequence[str], total: Total | None = None
) -> str:
    """C text of a rounding between two ends, of vectors `sum<lanes>`. The value is kept between the ends before it is
    rounded, which is the same and leaves no number that int32 has not.
    """
    product = as_rounded_product(expression)
    if total is not None and product is not None:
        return total.rounded(lanes, product)
    found = as_requantization(expression)
    assert found is not None
    low, high = found.low - found.zero, found.high - found.zero
    value = _quotient(lanes, found.value, operands, total, low, high)
    rounded = f"whole{lanes}({_ended(lanes, value, low, high)})"
    return f"({rounded} + {found.zero})" if found.zero else rounded


def _quotient(
    lanes: int, value: Expression, operands: Sequence[str], total: Total | None, low: int, high: int
) -> str:
    """C text of what is rounded; a quotient by a number of what is kept within what saturates, so that it is finite."""
    if isinstance(value, Apply) and value.primitive == "div":
        inner, divisor = value.arguments
        if isinstance(divisor, Constant) and LEAST_DIVISOR < divisor.value < MOST_DIVISOR:
            dividend = real_text(lanes, inner, operands, total)
            kept = _ended(lanes, dividend, (low - 2) * divisor.value, (high + 2) * divisor.value)
            return (
                f"quotient{lanes}({kept}, {float_literal(divisor.value)}, {float_literal(1 / divisor.value)})"
            )
    return real_text(lanes, value, operands, total)


def stored(
    lanes: int,
    place: str,
    expression: Expression,
    dtype: str,
    operands: Sequence[str],
    total: Total | None = None,
) -> str:
    """The statement that writes an epilogue's result to an address of elements of a type."""
    kind = f"{VECTORS[dtype]}{lanes}"
    if dtype == "float32":
        return f"*({kind} *)({place}) = {real_text(lanes, expression, operands, total)};"
    whole = whole_text(lanes, expression, operands, total)
    return f"*({kind} *)({place}) = __builtin_convertvector({whole}, {kind});"


def finished(
    lanes: int, total: Total, place: str, expression: Expression, dtype: str, further: str | None
) -> str:
    """The statement that ends a vector of sums and writes it to `y + place`: as it is where int32 is asked for, else
    times its factor and through the epilogue, which may read elements of the type `further` at `z + place`.
    """
    if dtype == "int32":
        return f"*(sum{lanes} *)(y + {place}) = {total.sums};"
    operands = [f"(__builtin_convertvector({total.sums}, real{lanes}) * {total.factor})"]
    if further is not None:
        operands.append(loaded(lanes, f"z + {place}", further))
    named = [f"v{i}" for i, _ in enumerate(operands)]
    end = stored(lanes, f"y + {place}", expression, dtype, named, total)
    used = [f"const real{lanes} v{i} = {text};" for i, text in enumerate(operands) if f"v{i}" in end]
    return f"{{ {' '.join([*used, end])} }}"


def sums_are_large(weights: Sequence[Array]) -> bool:
    """Whether a sum of an integer layer by these weights, bias and factors may be more than a float holds and its
    product still be one of 8 bits.
    """
    outputs = weights[0].shape[0]
    magnitudes = np.abs(np.asarray(weights[0], dtype=np.int64)).reshape(outputs, -1).sum(axis=1)
    largest = 255 * magnitudes + np.abs(np.asarray(weights[1], dtype=np.int64))
    return bool(np.any((largest > FLOAT_INTEGERS) & (np.abs(weights[2]) < SATURATING_FACTOR)))


def loaded(lanes: int, place: str, dtype: str) -> str:
    """Elements of a type at an address, as a vector of floats."""
    value = f"*(const {VECTORS[dtype]}{lanes} *)({place})"
    if dtype == "float32":
        return value
    if dtype != "int32":
        value = f"__builtin_convertvector({value}, sum{lanes})"
    return f"__builtin_convertvector({value}, real{lanes})"


def _ended(lanes: int, value: str, low: float | None, high: float | None) -> str:
    if low is not None:
        value = f"least{lanes}({value}, {float_literal(low)})"
    if high is not None:
        value = f"most{lanes}({value}, {float_literal(high)})"
    return value
