"""C text of elementwise expressions: of single floats, and of vectors of any width."""

from __future__ import annotations

import re
from collections.abc import Sequence

from codegen.engines.cpu.source import float_literal
from codegen.engines.cpu.vector_math import math_prologue
from codegen.expression import Apply, Constant, Expression, Operand, as_clamp, walk

INFIX = {"add": "+", "sub": "-", "mul": "*", "div": "/"}
"""Primitives that C has; every other is a function of `codegen.engines.cpu.vector_math`."""
_PLAIN = re.compile(r"[A-Za-z_]\w*(\[[^\[\]]*\])?")


def scalar_text(expression: Expression, operands: Sequence[str]) -> str:
    """C text of an expression of floats, from that of its operands; `scalar_prologue` stands before it."""
    value, low, high = as_clamp(expression)
    text = _tree(value, operands, 1)
    if _PLAIN.fullmatch(text):
        return _clamped(text, low, high)
    return _tree(expression, operands, 1)


def scalar_prologue(expression: Expression) -> str:
    """What the text of a scalar expression needs before it in a file; empty where C alone suffices."""
    value = as_clamp(expression).value
    plain = isinstance(value, Operand) or (expression == value and _is_infix(value))
    return "" if plain else math_prologue(1)


def vector_text(lanes: int, expression: Expression, operands: Sequence[str]) -> str:
    """C text of an expression of vectors `fvec<lanes>`; `vector_math.math_prologue` stands before it."""
    return _tree(expression, operands, lanes)


def _is_infix(expression: Expression) -> bool:
    return all(not isinstance(node, Apply) or node.primitive in (*INFIX, "neg") for node in walk(expression))


def _clamped(text: str, low: float | None, high: float | None) -> str:
    """In this order NaN stays NaN, by one comparison and one move each."""
    if low is not None:
        literal = float_literal(low)
        text = f"({text} < {literal} ? {literal} : {text})"
    if high is not None:
        literal = float_literal(high)
        text = f"({text} > {literal} ? {literal} : {text})"
    return text


def _tree(expression: Expression, operands: Sequence[str], lanes: int) -> str:
    if isinstance(expression, Operand):
        return operands[expression.index]
    if isinstance(expression, Constant):
        return float_literal(expression.value)  # C's operators spread a number over a vector
    assert isinstance(expression, Apply)
    arguments = [_tree(argument, operands, lanes) for argument in expression.arguments]
    if expression.primitive in INFIX:
        return f"({arguments[0]} {INFIX[expression.primitive]} {arguments[1]})"
    if expression.primitive == "neg":
        return f"(-{arguments[0]})"
    if lanes == 1:
        vectors = ", ".join(f"(fvec1){{{argument}}}" for argument in arguments)
        return f"{expression.primitive}1({vectors})[0]"
    spread = (
        f"splat{lanes}({text})" if isinstance(argument, Constant) else text
        for argument, text in zip(expression.arguments, arguments, strict=True)
    )
    return f"{expression.primitive}{lanes}({', '.join(spread)})"
