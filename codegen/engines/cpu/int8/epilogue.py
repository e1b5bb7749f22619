"""C text of epilogues in float32 that end in integers of 8 bits, of vectors of sums."""

from __future__ import annotations

from collections.abc import Sequence

from codegen.engines.cpu.expression_text import INFIX
from codegen.engines.cpu.source import float_literal
from codegen.expression import Apply, Constant, Expression, Operand, as_clamp
from codegen.requantization import as_requantization

VECTORS = {"float32": "real", "int32": "sum", "uint8": "byte", "int8": "tiny"}
"""The C types of as many elements as there are lanes, without their number."""


def real_text(lanes: int, expression: Expression, operands: Sequence[str]) -> str:
    """C text of an expression of vectors `real<lanes>`."""
    if as_requantization(expression) is not None:
        return f"__builtin_convertvector({whole_text(lanes, expression, operands)}, real{lanes})"
    if isinstance(expression, Operand):
        return operands[expression.index]
    if isinstance(expression, Constant):
        return float_literal(expression.value)  # C's operators spread a number over a vector
    value, low, high = as_clamp(expression)
    if low is not None or high is not None:
        return _ended(lanes, real_text(lanes, value, operands), low, high)
    assert isinstance(expression, Apply)
    arguments = [real_text(lanes, argument, operands) for argument in expression.arguments]
    if expression.primitive == "neg":
        return f"(-{arguments[0]})"
    return f"({arguments[0]} {INFIX[expression.primitive]} {arguments[1]})"


def whole_text(lanes: int, expression: Expression, operands: Sequence[str]) -> str:
    """C text of a rounding between two ends, of vectors `sum<lanes>`. The value is kept between the ends before it is
    rounded, which is the same and leaves no number that int32 has not.
    """
    found = as_requantization(expression)
    assert found is not None
    value = real_text(lanes, found.value, operands)
    rounded = f"whole{lanes}({_ended(lanes, value, found.low - found.zero, found.high - found.zero)})"
    return f"({rounded} + {found.zero})" if found.zero else rounded


def stored(lanes: int, place: str, expression: Expression, dtype: str, operands: Sequence[str]) -> str:
    """The statement that writes an epilogue's result to an address of elements of a type."""
    kind = f"{VECTORS[dtype]}{lanes}"
    if dtype == "float32":
        return f"*({kind} *)({place}) = {real_text(lanes, expression, operands)};"
    return (
        f"*({kind} *)({place}) = __builtin_convertvector({whole_text(lanes, expression, operands)}, {kind});"
    )


def finished(
    lanes: int, total: str, factor: str, place: str, expression: Expression, dtype: str, further: str | None
) -> str:
    """The statement that ends a vector of sums and writes it to `y + place`: as it is where int32 is asked for, else
    times its factor and through the epilogue, which may read elements of the type `further` at `z + place`.
    """
    if dtype == "int32":
        return f"*(sum{lanes} *)(y + {place}) = {total};"
    operands = [f"(__builtin_convertvector({total}, real{lanes}) * {factor})"]
    if further is not None:
        operands.append(loaded(lanes, f"z + {place}", further))
    names = ", ".join(f"v{i} = {text}" for i, text in enumerate(operands))
    named = [f"v{i}" for i, _ in enumerate(operands)]
    return f"{{ const real{lanes} {names}; {stored(lanes, f'y + {place}', expression, dtype, named)} }}"


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
