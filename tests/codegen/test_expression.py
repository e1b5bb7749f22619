"""Expressions: meaning, simplification and ranges."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from codegen.errors import GraphSpecError
from codegen.expression import (
    LARGEST,
    RELU,
    RESULT,
    Apply,
    Constant,
    Expression,
    Operand,
    apply,
    as_clamp,
    clamp,
    less,
    maximum,
    minimum,
    select,
    text,
    walk,
)
from codegen.interval import Interval
from codegen.primitives import PRIMITIVES

X, Y = Operand(0), Operand(1)
numbers = st.floats(-8, 8, allow_nan=False).map(lambda v: float(np.float32(v)))
leaves = st.one_of(numbers.map(Constant), st.sampled_from([X, Y]))


def _applied(children: st.SearchStrategy[Expression]) -> st.SearchStrategy[Expression]:
    return st.sampled_from(sorted(PRIMITIVES)).flatmap(
        lambda name: st.tuples(*[children] * PRIMITIVES[name].arity).map(lambda a: Apply(name, a))
    )


trees = st.recursive(leaves, _applied, max_leaves=8)


def rebuilt(expression: Expression) -> Expression:
    """The same tree through the simplifying constructor."""
    return expression.substitute([X, Y])


@given(trees, st.lists(numbers, min_size=4, max_size=4), st.lists(numbers, min_size=4, max_size=4))
def test_simplification_keeps_every_value(tree: Expression, x: list[float], y: list[float]) -> None:
    operands = [np.array(x), np.array(y)]
    np.testing.assert_array_equal(rebuilt(tree).evaluate(operands), tree.evaluate(operands))


@given(trees, numbers, numbers)
def test_results_lie_in_the_interval(tree: Expression, x: float, y: float) -> None:
    low, high = tree.interval([Interval(min(x, 0.0), max(x, 0.0)), Interval(y, y)])
    value = float(tree.evaluate([np.array(x), np.array(y)]))
    slack = 1e-9 * max(1.0, abs(value)) if math.isfinite(value) else 0.0
    assert math.isnan(value) or low - slack <= value <= high + slack


@given(st.lists(st.tuples(st.sampled_from(["min", "max"]), numbers), max_size=6), numbers)
def test_clamps_in_a_row_become_one(ends: list[tuple[str, float]], x: float) -> None:
    expression: Expression = X
    for primitive, end in ends:
        expression = apply(primitive, expression, end)
    assert as_clamp(expression).value == X
    expected = x
    for primitive, end in ends:
        expected = min(expected, end) if primitive == "min" else max(expected, end)
    assert float(expression.evaluate([np.array(x)])) == expected


def test_clamps_keep_nan_as_onnx_does() -> None:
    assert math.isnan(float(clamp(X, -1.0, 1.0).evaluate([np.array(math.nan)])))


def test_ends_that_no_float32_is_beyond_do_nothing() -> None:
    assert clamp(X, -LARGEST, LARGEST) == X
    assert clamp(X, 0.0, LARGEST) == RELU


def test_crossing_ends_give_the_upper_one() -> None:
    assert float(clamp(X, 3.0, -2.0).evaluate([np.array(7.0)])) == -2.0
    assert clamp(X, 3.0, -2.0) == clamp(X, -2.0, -2.0)


def test_substitution_composes() -> None:
    both = RELU.substitute([X + Y])
    assert both == maximum(X + Y, 0.0)
    assert both.arity == 2


def test_python_operators_and_functions() -> None:
    swish = X / (1 + apply("exp", -X))
    values = np.array([-3.0, 0.0, 2.5])
    np.testing.assert_allclose(swish.evaluate([values]), values / (1 + np.exp(-values)))
    leaky = select(less(X, 0.0), 0.1 * X, X)
    np.testing.assert_allclose(leaky.evaluate([values]), [-0.3, 0.0, 2.5])
    np.testing.assert_allclose((2 - abs(X - Y)).evaluate([values, np.ones(3)]), [-2.0, 1.0, 0.5])
    assert minimum(Constant(2.0), 3.0) == Constant(2.0)


def test_cost_counts_a_clamp_as_two_a_side() -> None:
    assert (RESULT.instructions, RELU.instructions, clamp(X, 0.0, 6.0).instructions) == (0.0, 2.0, 4.0)


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        (RESULT, ""),
        (RELU, "relu"),
        (clamp(X, 0.0, 6.0), "relu6"),
        (clamp(X, None, 1.0), "clamp -inf..1"),
        (X + Y, "add(x, y)"),
        (maximum(X + Y, 0.0), "add(x, y) relu"),
    ],
)
def test_text(expression: Expression, expected: str) -> None:
    assert text(expression) == expected


def test_walk_gives_arguments_first() -> None:
    nodes = list(walk(maximum(X + Y, 0.0)))
    assert nodes[:2] == [X, Y]
    assert nodes[-1] == maximum(X + Y, 0.0)


@pytest.mark.parametrize("make", [lambda: Apply("frobnicate", (X,)), lambda: Apply("add", (X,))])
def test_what_is_no_primitive_is_refused(make: object) -> None:
    with pytest.raises(GraphSpecError, match="no primitive"):
        make()  # type: ignore[operator]


def test_a_constant_is_a_finite_number() -> None:
    with pytest.raises(GraphSpecError, match="finite"):
        Constant(math.inf)
