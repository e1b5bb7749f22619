"""C text of expressions by the arithmetic of one element type."""

from __future__ import annotations

import math
from collections.abc import Sequence

from codegen.element_type import ElementType
from codegen.engines.cpu.source import fill
from codegen.expression import Apply, Constant, Expression, Operand, walk

FLOATING = {
    "add": "a + b",
    "sub": "a - b",
    "mul": "a * b",
    "div": "a / b",
    "min": "a < b || a != a ? a : b",
    "max": "a > b || a != a ? a : b",
    "neg": "-a",
    "abs": "fabs$f(a)",
    "floor": "floor$f(a)",
    "less": "a < b",
    "equal": "a == b",
    "select": "a != 0 ? b : c",
    "pow": "pow$f(a, b)",
    "round": "rint$f(a)",
    "mod": "mod_of_divisor$f(a, b)",
    "fmod": "fmod$f(a, b)",
    "not": "a == 0",
    "and": "a != 0 && b != 0",
    "or": "a != 0 || b != 0",
    "xor": "(a != 0) != (b != 0)",
    "isnan": "a != a",
    "isinf": "a == INFINITY || a == -INFINITY",
    **{
        name: f"{name}$f(a)"
        for name in (
            *(
                "sqrt",
                "exp",
                "expm1",
                "log",
                "log1p",
                "tanh",
                "erf",
                "erfc",
                "sin",
                "cos",
                "tan",
                "asin",
                "acos",
            ),
            *("atan", "sinh", "cosh", "asinh", "acosh", "atanh"),
        )
    },
}
"""Bodies of functions of $T a, b and c; $f is the suffix of the C library's names."""
WHOLE = {
    "add": "($T)(($U)a + ($U)b)",
    "sub": "($T)(($U)a - ($U)b)",
    "mul": "($T)(($U)a * ($U)b)",
    "div": "b == 0 ? 0 : $minus_one ? ($T)(0 - ($U)a) : a / b",
    "min": "a < b ? a : b",
    "max": "a > b ? a : b",
    "neg": "($T)(0 - ($U)a)",
    "abs": "a < 0 ? ($T)(0 - ($U)a) : a",
    "floor": "a",
    "less": "a < b",
    "equal": "a == b",
    "select": "a != 0 ? b : c",
    "round": "a",
    "mod": "b == 0 || $minus_one ? 0 : (a % b != 0 && (a % b < 0) != (b < 0) ? a % b + b : a % b)",
    "fmod": "b == 0 || $minus_one ? 0 : a % b",
    "not": "a == 0",
    "and": "a != 0 && b != 0",
    "or": "a != 0 || b != 0",
    "xor": "(a != 0) != (b != 0)",
    "isnan": "0",
    "isinf": "0",
    "bitand": "a & b",
    "bitor": "a | b",
    "bitxor": "a ^ b",
    "bitnot": "~a",
    "shl": "($U)b < 8 * sizeof(a) ? ($T)(($U)a << b) : 0",
    "shr": "($U)b < 8 * sizeof(a) ? a >> b : a < 0 ? ($T)-1 : 0",
    "pow": "whole_power_$T(a, b)",
}
_POWER = """
    static inline $T whole_power_$T($T a, $T b)
    {
        $U result = 1, factor = ($U)a;
        for (; b > 0; b >>= 1, factor *= factor)
            result *= b & 1 ? factor : 1;
        return ($T)result;
    }
"""
_MOD = """
    static inline $T mod_of_divisor$f($T a, $T b)
    {
        const $T r = fmod$f(a, b);
        return r != 0 && (r < 0) != (b < 0) ? r + b : r;
    }
"""
HEADERS = "#include <math.h>\n#include <stdint.h>\n#include <string.h>\n"


def expression_prologue(expression: Expression, element: ElementType) -> str:
    """The functions that the text of an expression calls; it may stand in a file several times."""
    names = sorted({node.primitive for node in walk(expression) if isinstance(node, Apply)})
    return "".join(_function(name, element) for name in names)


def is_printable(expression: Expression, element: ElementType) -> bool:
    """Whether each of its primitives has a meaning in the element type."""
    table = FLOATING if element.is_floating else WHOLE
    return all(node.primitive in table for node in walk(expression) if isinstance(node, Apply))


def expression_text(expression: Expression, operands: Sequence[str], element: ElementType) -> str:
    """C text of an expression of values of the element type's `c_value`."""
    if isinstance(expression, Operand):
        return operands[expression.index]
    if isinstance(expression, Constant):
        return literal(expression.value, element)
    assert isinstance(expression, Apply)
    arguments = ", ".join(expression_text(argument, operands, element) for argument in expression.arguments)
    return f"{expression.primitive}_{element.c_value}({arguments})"


def literal(value: float, element: ElementType) -> str:
    """A number as C text, of the element type's `c_value`."""
    if not element.is_floating:
        return f"(({element.c_value}){int(value)})"
    if math.isnan(value):
        return f"(({element.c_value})NAN)"
    if math.isinf(value):
        return f"(({element.c_value}){'-' if value < 0 else ''}INFINITY)"
    return f"(({element.c_value}){float(value).hex()})"


def converted(value: str, source: str, element: ElementType) -> str:
    """C text of a value of type `source` (a `c_value`) as an element."""
    if element.name == "bool":
        return f"({value}) != 0"
    return value if source == element.c_type else f"({element.c_type})({value})"


def _function(name: str, element: ElementType) -> str:
    kind = element.c_value
    body = (FLOATING if element.is_floating else WHOLE)[name]
    unsigned = kind if kind.startswith("u") else f"u{kind}"
    words = {
        "T": kind,
        "U": unsigned,
        "f": "f" if kind == "float" else "",
        "minus_one": "0" if kind.startswith("u") else "b == -1",
    }
    before = ""
    if name == "pow" and not element.is_floating:
        before = fill(_POWER, **words)
    if name == "mod" and element.is_floating:
        before = fill(_MOD, **words)
    count = 1 + ("b" in _identifiers(body)) + ("c" in _identifiers(body))
    parameters = ", ".join(f"{kind} {letter}" for letter in "abc"[:count])
    guard = f"EXPLORE_{name}_{kind}".upper()
    return (
        f"#ifndef {guard}\n#define {guard}\n{before}static inline {kind} {name}_{kind}({parameters})\n{{\n"
        f"    return ({kind})({fill(body, **words).strip()});\n}}\n#endif\n"
    )


def _identifiers(body: str) -> set[str]:
    words, word = set(), ""
    for character in f"{body} ":
        if character.isalnum() or character in "_$":
            word += character
        else:
            words.add(word)
            word = ""
    return words
