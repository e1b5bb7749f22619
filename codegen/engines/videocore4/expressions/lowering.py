"""From an expression to steps: each node once, some pairs of nodes as one where that is shorter or more precise."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from codegen.engines.videocore4.expressions import primitives
from codegen.engines.videocore4.expressions.primitives import PRIMITIVES
from codegen.engines.videocore4.expressions.steps import (
    Input,
    Step,
    Steps,
    Value,
    arranged,
    is_constant,
    number,
)
from codegen.expression import LARGEST, Apply, Constant, Expression, Operand, apply, walk
from codegen.interval import ANYTHING, Interval


@dataclass(frozen=True)
class Program:
    """The steps of an expression for one element of each lane, and which value is its own."""

    steps: tuple[Step, ...]
    result: Value

    @property
    def constants(self) -> tuple[float | int, ...]:
        """Numbers that need a register, the most used first."""
        uses: dict[float | int, int] = {}
        for step in self.steps:
            for value in step.sources:
                if is_constant(value):
                    uses[value] = uses.get(value, 0) + 1
        return tuple(sorted(uses, key=lambda value: -uses[value]))


def is_lowered(expression: Expression) -> bool:
    """Whether the QPUs compute all its primitives."""
    return all(not isinstance(node, Apply) or node.primitive in PRIMITIVES for node in walk(expression))


@cache
def lowered(expression: Expression) -> Program:
    """The steps that compute an expression."""
    lowering = _Lowering()
    result = number(lowering.value(expression))
    steps, result = arranged(lowering.steps.steps, result)
    return Program(tuple(steps), result)


class _Lowering:
    def __init__(self) -> None:
        self.steps = Steps()
        self._values: dict[Expression, Value] = {}

    def value(self, node: Expression) -> Value:
        if node not in self._values:
            self._values[node] = self._computed(node)
        return self._values[node]

    def _computed(self, node: Expression) -> Value:
        if isinstance(node, Operand):
            return Input(node.index)
        if isinstance(node, Constant):
            return max(-LARGEST, min(node.value, LARGEST))
        assert isinstance(node, Apply)
        other = _preciser(node)
        if other is not None:
            return self.value(other)
        if node.primitive == "exp":
            inner, factor = _scaled(node.arguments[0])
            return primitives.exponential(self.steps, self.value(inner), _interval(inner), factor)
        if node.primitive == "select":
            test = node.arguments[0]
            if isinstance(test, Apply) and test.primitive in ("less", "equal"):
                choose = primitives.less if test.primitive == "less" else primitives.equal
                first, second, then, otherwise = map(self.value, (*test.arguments, *node.arguments[1:]))
                return choose(self.steps, first, second, then, otherwise)
        values = [self.value(argument) for argument in node.arguments]
        return PRIMITIVES[node.primitive](self.steps, values, [_interval(a) for a in node.arguments])


def _interval(expression: Expression) -> Interval:
    return expression.interval([ANYTHING] * expression.arity)


def _scaled(node: Expression) -> tuple[Expression, float]:
    """A node as another one times a number."""
    if isinstance(node, Apply) and node.primitive == "neg":
        inner, factor = _scaled(node.arguments[0])
        return inner, -factor
    if isinstance(node, Apply) and node.primitive == "mul":
        for inner, by in (node.arguments, node.arguments[::-1]):
            if isinstance(by, Constant) and 2.0**-64 < abs(by.value) < 2.0**64:
                return inner, by.value
    return node, 1.0


_ONE = Constant(1.0)


def _preciser(node: Apply) -> Expression | None:
    """The same function without the cancellation of sums with 1: 1 + tanh, 1 + erf, log(1 + x)."""
    if node.primitive == "log":
        inner = node.arguments[0]
        if isinstance(inner, Apply) and inner.primitive == "add" and _ONE in inner.arguments:
            first, second = inner.arguments
            return Apply("log1p", (second if first == _ONE else first,))
    if node.primitive == "add" and _ONE in node.arguments:
        other = node.arguments[node.arguments[0] == _ONE]
        return _complement(other, positive=True)
    if node.primitive == "sub" and node.arguments[0] == _ONE:
        return _complement(node.arguments[1], positive=False)
    return None


def _complement(node: Expression, *, positive: bool) -> Expression | None:
    """1 + node or 1 - node, for a node that tends to 1 or -1."""
    if not isinstance(node, Apply) or node.primitive not in ("tanh", "erf"):
        return None
    inner = node.arguments[0]
    if node.primitive == "erf":
        return apply("erfc", apply("neg", inner) if positive else inner)
    grown = apply("exp", apply("mul", inner, -2.0 if positive else 2.0))
    return apply("mul", apply("div", 1.0, apply("add", grown, 1.0)), 2.0)
