"""Elementwise expressions: one small frozen tree for activations, epilogues and stand-alone elementwise layers.

An expression is a function of its operands, number by number. What its primitives mean stands in one table
(`codegen.primitives`), how an engine computes them in one table of the engine.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import NamedTuple

import numpy as np

from codegen.errors import GraphSpecError
from codegen.interval import Interval
from codegen.primitives import PRIMITIVES
from codegen.tensor import Array, Doubles
from codegen.typed_primitives import TYPED_PRIMITIVES

LARGEST = float(np.finfo(np.float32).max)
KNOWN = {**PRIMITIVES, **TYPED_PRIMITIVES}


class Expression:
    """A node: a `Constant`, an `Operand` or an `Apply`. Python's operators build trees; see `less` and `select` too."""

    __slots__ = ()

    def __add__(self, other: Expression | float) -> Expression:
        return apply("add", self, other)

    def __radd__(self, other: float) -> Expression:
        return apply("add", other, self)

    def __sub__(self, other: Expression | float) -> Expression:
        return apply("sub", self, other)

    def __rsub__(self, other: float) -> Expression:
        return apply("sub", other, self)

    def __mul__(self, other: Expression | float) -> Expression:
        return apply("mul", self, other)

    def __rmul__(self, other: float) -> Expression:
        return apply("mul", other, self)

    def __truediv__(self, other: Expression | float) -> Expression:
        return apply("div", self, other)

    def __rtruediv__(self, other: float) -> Expression:
        return apply("div", other, self)

    def __neg__(self) -> Expression:
        return apply("neg", self)

    def __abs__(self) -> Expression:
        return apply("abs", self)

    @property
    def arity(self) -> int:
        """How many operands it is a function of: one more than the largest index."""
        return max((operand.index + 1 for operand in self.operands), default=0)

    @property
    def operands(self) -> tuple[Operand, ...]:
        """Every occurrence of an operand."""
        return tuple(node for node in walk(self) if isinstance(node, Operand))

    @property
    def instructions(self) -> float:
        """Arithmetic instructions of a scalar core for one element."""
        return sum(KNOWN[node.primitive].instructions for node in walk(self) if isinstance(node, Apply))

    def substitute(self, values: Sequence[Expression]) -> Expression:
        """The expression with other expressions in the place of its operands, simplified."""
        if isinstance(self, Operand):
            return values[self.index]
        if isinstance(self, Apply):
            return apply(self.primitive, *(argument.substitute(values) for argument in self.arguments))
        return self

    def evaluate(self, operands: Sequence[Doubles]) -> Doubles:
        """Its value in float64, operands broadcast against each other; infinities and NaN as IEEE 754 has them."""
        with np.errstate(all="ignore"):
            return np.asarray(_value(self, operands), dtype=np.float64)

    def typed_value(self, operands: Sequence[Array]) -> Array:
        """Its value by the arithmetic of the operands' own types."""
        with np.errstate(all="ignore"):
            return np.asarray(_value(self, operands))  # type: ignore[arg-type]

    def interval(self, operands: Sequence[Interval]) -> Interval:
        """Where its results lie, from where the operands do."""
        if isinstance(self, Operand):
            return operands[self.index]
        if isinstance(self, Apply):
            return KNOWN[self.primitive].bounds(*(a.interval(operands) for a in self.arguments))
        assert isinstance(self, Constant)
        return Interval(self.value, self.value)


@dataclass(frozen=True)
class Constant(Expression):
    """A finite number, the same for all elements.

    Fields:
        value: the number
    """

    value: float

    def __post_init__(self) -> None:
        if not math.isfinite(self.value):
            raise GraphSpecError(f"a constant of an expression is {self.value}, not a finite number")


@dataclass(frozen=True)
class Operand(Expression):
    """The element of operand number `index`; in an epilogue, number 0 is the layer's result.

    Fields:
        index: number of the operand, from 0
    """

    index: int


@dataclass(frozen=True)
class Apply(Expression):
    """A primitive applied to its arguments, simplified where it was made.

    Fields:
        primitive: name of the function, NumPy's or C's; less, equal, not and the like give 1 or 0; select is its
            second argument where the first is not 0, else the third; mod has the divisor's sign, fmod the dividend's
        arguments: what it is applied to; how many that are, x-arguments says
    """

    primitive: str
    arguments: tuple[Expression, ...]

    def __post_init__(self) -> None:
        known = KNOWN.get(self.primitive)
        if known is None or known.arity != len(self.arguments):
            raise GraphSpecError(
                f"no primitive {self.primitive!r} takes {len(self.arguments)} arguments; known: "
                f"{', '.join(f'{p.name} ({p.arity})' for p in KNOWN.values())}"
            )


RESULT = Operand(0)  # as an epilogue: the layer's result unchanged


def walk(expression: Expression) -> Iterator[Expression]:
    """Every node, arguments before what they are arguments of."""
    if isinstance(expression, Apply):
        for argument in expression.arguments:
            yield from walk(argument)
    yield expression


def apply(primitive: str, *arguments: Expression | float) -> Expression:
    """A primitive applied to expressions and numbers. Constants are computed, clamps within clamps become one."""
    lifted = tuple(a if isinstance(a, Expression) else Constant(float(a)) for a in arguments)
    if all(isinstance(argument, Constant) for argument in lifted):
        value = float(Apply(primitive, lifted).evaluate(()))
        if math.isfinite(value):
            return Constant(value)
    if primitive in ("min", "max") and len(lifted) == 2:
        return _bounded(primitive, *lifted)
    return Apply(primitive, lifted)


def maximum(first: Expression | float, *others: Expression | float) -> Expression:
    """The largest of all; NaN where one of them is."""
    return reduce(lambda a, b: apply("max", a, b), others, _lifted(first))


def minimum(first: Expression | float, *others: Expression | float) -> Expression:
    """The least of all; NaN where one of them is."""
    return reduce(lambda a, b: apply("min", a, b), others, _lifted(first))


def less(first: Expression | float, second: Expression | float) -> Expression:
    """1 where `first` is below `second`, else 0."""
    return apply("less", first, second)


def select(condition: Expression, then: Expression | float, otherwise: Expression | float) -> Expression:
    """`then` where the condition is not 0."""
    return apply("select", condition, then, otherwise)


class Clamp(NamedTuple):
    """`min(max(value, low), high)`: where the ends cross `high` wins, as in ONNX; an end that is None is open."""

    value: Expression
    low: float | None
    high: float | None

    @property
    def expression(self) -> Expression:
        """The clamp as a tree."""
        low = self.value if self.low is None else Apply("max", (self.value, Constant(self.low)))
        return low if self.high is None else Apply("min", (low, Constant(self.high)))


def as_clamp(expression: Expression) -> Clamp:
    """An expression as a clamp of another one; both ends are open where it is none."""
    value, high = _split("min", expression)
    value, low = _split("max", value)
    return Clamp(value, low, high)


def is_clamp(expression: Expression) -> bool:
    """Whether it is a clamp of operand 0, or that operand itself."""
    return as_clamp(expression).value == RESULT


def clamp(value: Expression, low: float | None, high: float | None) -> Expression:
    """`min(max(value, low), high)`, simplified."""
    value = value if low is None else maximum(value, low)
    return value if high is None else minimum(value, high)


def _lifted(value: Expression | float) -> Expression:
    return value if isinstance(value, Expression) else Constant(float(value))


def _split(primitive: str, expression: Expression) -> tuple[Expression, float | None]:
    """What a bound is applied to, and the bound; the expression itself and None where it is none."""
    if isinstance(expression, Apply) and expression.primitive == primitive:
        value, end = expression.arguments
        if isinstance(end, Constant):
            return value, end.value
    return expression, None


def _bounded(primitive: str, value: Expression, end: Expression) -> Expression:
    if isinstance(value, Constant):
        value, end = end, value
    if not isinstance(end, Constant):
        return Apply(primitive, (value, end))
    inner, low, high = as_clamp(value)
    if primitive == "max":
        if end.value <= -LARGEST:  # no float32 is beyond it
            return value
        low = end.value if low is None else max(low, end.value)
        high = high if high is None else max(high, end.value)
    else:
        if end.value >= LARGEST:
            return value
        high = end.value if high is None else min(high, end.value)
    if low is not None and high is not None:
        low = min(low, high)  # ends that cross: everything becomes `high`
    return Clamp(inner, low, high).expression


RELU = clamp(RESULT, 0.0, None)


def _value(expression: Expression, operands: Sequence[Doubles]) -> Doubles | float:
    if isinstance(expression, Operand):
        return operands[expression.index]
    if isinstance(expression, Apply):
        arguments = (_value(argument, operands) for argument in expression.arguments)
        result: Doubles = KNOWN[expression.primitive].value(*arguments)
        return result
    assert isinstance(expression, Constant)
    return expression.value


def text(expression: Expression) -> str:
    """A short form for tables: `relu`, `relu6`, `clamp -1..1`, else functions of `x`, `y`, ...; empty for operand 0."""
    value, low, high = as_clamp(expression)
    inner = "" if value == RESULT else _formula(value)
    if low is None and high is None:
        return inner
    if low == 0.0:
        return " ".join(part for part in (inner, "relu" if high is None else f"relu{high:g}") if part)
    ends = f"clamp {'-inf' if low is None else f'{low:g}'}..{'inf' if high is None else f'{high:g}'}"
    return f"{inner} {ends}" if inner else ends


def _formula(expression: Expression) -> str:
    if isinstance(expression, Constant):
        return f"{expression.value:g}"
    if isinstance(expression, Operand):
        return "xyzuvw"[expression.index] if expression.index < 6 else f"x{expression.index}"
    assert isinstance(expression, Apply)
    return f"{expression.primitive}({', '.join(map(_formula, expression.arguments))})"
