"""Expressions on the QPUs: every primitive and the usual activations against float64, on the virtual board."""

from __future__ import annotations

import functools
import math
import operator

import numpy as np
import pytest
from numpy.typing import NDArray

from codegen.engines.videocore4.expressions.emission import Element
from codegen.engines.videocore4.expressions.lowering import lowered
from codegen.engines.videocore4.expressions.placement import instructions, place
from codegen.engines.videocore4.expressions.primitives import PRIMITIVES as QPU_PRIMITIVES
from codegen.engines.videocore4.registers import R0, A, B
from codegen.errors import ScheduleError
from codegen.expression import (
    LARGEST,
    Expression,
    Operand,
    apply,
    clamp,
    less,
    maximum,
    minimum,
    select,
    walk,
)
from codegen.primitives import PRIMITIVES
from codegen.tensor import Doubles
from microbench.profile import DeviceProfile, load_profile
from tests.codegen.qpu_expression_run import run_expression

TOLERANCE = 3e-5
LEAST_NORMAL = 2.0**-126
X, Y, Z = (Operand(i) for i in range(3))

SAMPLES = np.array(
    [0, 1e-30, 88, 1e30, 1, 0.5, 2, 1e-3, 0.999, 1.0001, 1.01, 0.99, 87, 3, 4, 7, 10, 1e38, 3e38, 2e-38, 2**23 + 1],
    np.float32,
)  # fmt: skip
SAMPLES = np.concatenate([SAMPLES, -SAMPLES[1:]])
LINE = np.concatenate(
    [
        SAMPLES,
        np.linspace(-10, 10, 256).astype(np.float32),
        np.linspace(-100, 100, 128).astype(np.float32),
        np.geomspace(1e-37, 1e38, 96).astype(np.float32),
        -np.geomspace(1e-37, 1e38, 96).astype(np.float32),
    ]
)

SIGMOID = 1.0 / (1.0 + apply("exp", -X))
CUBIC = math.sqrt(2.0 / math.pi) * (X + 0.044715 * (X * X * X))
ACTIVATIONS = {
    "sigmoid": SIGMOID,
    "hard sigmoid": clamp(X * 0.2 + 0.5, 0.0, 1.0),
    "hard swish": X * clamp(X / 6.0 + 0.5, 0.0, 1.0),
    "swish": X * SIGMOID,
    "swish as a quotient": X / (1.0 + apply("exp", -X)),
    "leaky relu": select(less(X, 0.0), 0.01 * X, X),
    "elu": select(less(X, 0.0), 1.5 * apply("expm1", X), X),
    "elu without a choice": maximum(X, 0.0) + 1.5 * apply("expm1", minimum(X, 0.0)),
    "gelu": 0.5 * X * apply("erfc", X * -math.sqrt(0.5)),
    "gelu by tanh": 0.5 * X * (1.0 + apply("tanh", CUBIC)),
    "gelu by erf": 0.5 * X * (1.0 + apply("erf", X / math.sqrt(2.0))),
    "softplus": maximum(X, 0.0) + apply("log1p", apply("exp", -abs(X))),
    "softsign": X / (1.0 + abs(X)),
    "mish": X * apply("tanh", maximum(X, 0.0) + apply("log1p", apply("exp", -abs(X)))),
    "reciprocal": 1.0 / X,
    "quotient of a number": 3.0 / X,
    "quotient by a large number": X / 1e30,
    "quotient by a small number": X / 1e-30,
    "quotient by the largest": X / 3e38,
    "square": apply("pow", X, 2.0),
    "inverse cube": apply("pow", X, -3.0),
    "thirteenth power": apply("pow", X, 13.0),
    "broken power": apply("pow", X, 2.5),
    "root as a power": apply("pow", X, 0.5),
    "power of a number": apply("pow", 3.0, X),
    "constants beyond float32": X + less(X, 1e300),
    "operand alone": X,
}  # fmt: skip


def agrees_where_finite_and_normal(
    expression: Expression, operands: list[NDArray[np.float32]], profile: DeviceProfile | None = None
) -> None:
    """Compares what one QPU computes."""
    check(expression, operands, run_expression(expression, operands, profile=profile))


def check(expression: Expression, operands: list[NDArray[np.float32]], result: NDArray[np.float32]) -> None:
    """Compares wherever no part of the expression overflows, is denormal or undefined in float32."""
    actual = result.astype(np.float64)
    wide = [operand.astype(np.float64) for operand in operands]
    expected = exact(expression, wide)
    usual = np.ones(len(actual), bool)
    for value in (expected, *(node.evaluate(wide) for node in walk(expression) if node.arity)):
        usual &= np.isfinite(value) & (np.abs(value) <= LARGEST)
        usual &= (value == 0.0) | (np.abs(value) >= LEAST_NORMAL)
    assert usual.mean() > 0.3
    error = np.abs(actual[usual] - expected[usual])
    limit = TOLERANCE * np.abs(expected)[usual]
    worst = int(np.argmax(error - limit))
    at = [float(operand[usual][worst]) for operand in wide]
    assert error[worst] <= limit[worst], f"{at}: {actual[usual][worst]}, not {expected[usual][worst]}"


def exact(expression: Expression, operands: list[Doubles]) -> Doubles:
    """float64, in a form that float64 has not cancelled away."""
    x = operands[0]
    if expression == ACTIVATIONS["gelu by erf"]:
        return ACTIVATIONS["gelu"].evaluate(operands)
    if expression == ACTIVATIONS["gelu by tanh"]:
        with np.errstate(over="ignore"):
            return np.asarray(x / (1.0 + np.exp(-2.0 * CUBIC.evaluate(operands))))
    return expression.evaluate(operands)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations(name: str) -> None:
    agrees_where_finite_and_normal(ACTIVATIONS[name], [LINE])


@pytest.mark.parametrize("name", ["sigmoid", "gelu", "softplus", "inverse cube", "thirteenth power"])
def test_activations_with_special_functions_of_14_bits(name: str) -> None:
    bits = dict.fromkeys(("recip", "recipsqrt", "exp", "log"), 14.0)
    profile = load_profile("pi-zero").with_v3d(**{f"sfu_{f}_bits": b for f, b in bits.items()})
    agrees_where_finite_and_normal(ACTIVATIONS[name], [LINE], profile)


@pytest.mark.parametrize("name", PRIMITIVES)
def test_primitives(name: str) -> None:
    arity = PRIMITIVES[name].arity
    rng = np.random.default_rng(5)
    operands = [LINE]
    if arity > 1:
        pairs = np.array(np.meshgrid(SAMPLES, SAMPLES)).reshape(2, -1)
        whole = rng.integers(-9, 9, (2, 128)).astype(np.float32)
        broken = rng.uniform(-5, 5, (2, 128)).astype(np.float32)
        operands = list(np.concatenate([pairs, whole, broken], axis=1))
    if arity > 2:
        operands.append(operands[1][::-1].copy())
        operands[0] = np.where(rng.random(len(operands[0])) < 0.5, np.float32(0), operands[0])
    agrees_where_finite_and_normal(apply(name, *[X, Y, Z][:arity]), operands)


def test_every_primitive_is_known() -> None:
    assert set(QPU_PRIMITIVES) == set(PRIMITIVES)


INFINITY = math.inf
OUTSIDE: dict[str, tuple[Expression, list[tuple[float, ...]]]] = {  # operands, then the result
    "add": (X + Y, [(INFINITY, -INFINITY, -INFINITY), (-INFINITY, INFINITY, INFINITY), (2e38, 2e38, INFINITY)]),
    "sub": (X - Y, [(INFINITY, INFINITY, -INFINITY), (1.5e-38, 1.2e-38, 0.0)]),
    "mul": (X * Y, [(0.0, INFINITY, 0.0), (1e-30, 1e-30, 0.0), (-1e30, 1e30, -INFINITY), (1e-40, 1e30, 0.0)]),
    "div": (X / Y, [
        (3.0, 0.0, INFINITY), (-3.0, 0.0, -INFINITY), (-3.0, -0.0, INFINITY), (0.0, 0.0, 0.0), (3.0, -INFINITY, 0.0),
        (INFINITY, INFINITY, 0.0), (1e30, 1e-30, INFINITY),
    ]),
    "reciprocal": (1.0 / X, [(0.0, INFINITY), (-0.0, INFINITY), (INFINITY, 0.0), (1e-40, INFINITY), (3e38, 0.0)]),
    "max": (maximum(X, Y), [(math.nan, INFINITY, math.nan), (-INFINITY, 3.0, 3.0)]),
    "less": (less(X, Y), [(INFINITY, INFINITY, 0.0), (-INFINITY, INFINITY, 1.0), (0.0, -0.0, 0.0)]),
    "equal": (apply("equal", X, Y), [(INFINITY, INFINITY, 1.0), (0.0, -0.0, 1.0), (-INFINITY, INFINITY, 0.0)]),
    "select": (select(X, 1.0, 2.0), [(1e-40, 2.0), (-0.0, 2.0), (INFINITY, 1.0)]),
    "floor": (apply("floor", X), [(INFINITY, INFINITY), (-INFINITY, -INFINITY), (-1e-30, -1.0), (1e-40, 0.0)]),
    "sqrt": (apply("sqrt", X), [(-4.0, 0.0), (INFINITY, 0.0), (1e-40, 0.0)]),
    "exp": (apply("exp", X), [(89.0, INFINITY), (-88.0, 0.0), (INFINITY, INFINITY), (-INFINITY, 0.0)]),
    "expm1": (apply("expm1", X), [(89.0, INFINITY), (-INFINITY, -1.0)]),
    "log": (apply("log", X), [(0.0, -INFINITY), (1e-40, -INFINITY), (-1.0, 0.0), (-2.0, math.log(2.0)),
                              (INFINITY, 128 * math.log(2.0))]),
    "log1p": (apply("log1p", X), [(-1.0, -INFINITY), (-3.0, math.log(2.0)), (INFINITY, 128 * math.log(2.0))]),
    "tanh": (apply("tanh", X), [(INFINITY, 1.0), (-INFINITY, -1.0)]),
    "erf": (apply("erf", X), [(INFINITY, 1.0), (-INFINITY, -1.0)]),
    "erfc": (apply("erfc", X), [(INFINITY, 0.0), (-INFINITY, 2.0)]),
    "pow": (apply("pow", X, Y), [
        (0.0, -1.0, INFINITY), (0.0, 0.0, 1.0), (-4.0, 0.5, 2.0), (-4.0, 1.5, -8.0), (INFINITY, 0.5, 2.0**64),
        (1e30, 2.0, INFINITY), (1e30, -2.0, 0.0),
    ]),
}  # fmt: skip


@pytest.mark.parametrize("name", OUTSIDE)
def test_outside_of_finite_and_normal_numbers(name: str) -> None:
    expression, rows = OUTSIDE[name]
    columns = [np.array(column, np.float32) for column in zip(*rows, strict=True)]
    actual = run_expression(expression, columns[:-1])
    np.testing.assert_allclose(actual, columns[-1], rtol=TOLERANCE)


@pytest.mark.parametrize("name", ["swish", "gelu", "elu", "softplus", "mish"])
def test_the_fewer_the_registers_the_longer_until_there_are_too_few(name: str) -> None:
    """Constants are loaded again where they find no place; the results stay right down to the last that fits."""
    expression = ACTIVATIONS[name]
    line = np.linspace(-6, 6, 64).astype(np.float32)
    expected = run_expression(expression, [line])
    for spare in (4, 2, 1, 0):
        try:
            actual = run_expression(expression, [line], spare)
        except ScheduleError as error:
            assert spare < 4, error
            continue
        np.testing.assert_array_equal(actual, expected)


def test_too_few_registers_are_refused() -> None:
    with pytest.raises(ScheduleError, match="needs more registers than the 1"):
        place(ACTIVATIONS["gelu"], [Element((A(0),), A(0))], [R0])


def test_what_occurs_twice_is_computed_once() -> None:
    exponential = apply("exp", X)
    once, twice = lowered(exponential + 1.0), lowered(exponential * exponential + exponential)
    assert len(twice.steps) <= len(once.steps) + 2
    assert len(lowered(X * SIGMOID).steps) == len(lowered(SIGMOID).steps) + 1


def test_a_result_may_take_the_place_of_an_operand_that_is_read_late() -> None:
    expression = (1.0 - X) * (X + 3.0) * X
    line = np.linspace(-6, 6, 64).astype(np.float32)
    x = line.astype(np.float64)
    np.testing.assert_allclose(
        run_expression(expression, [line]), (1 - x) * (x + 3) * x, rtol=1e-5, atol=1e-5
    )


def test_instructions_are_those_of_the_generated_code() -> None:
    assert instructions(maximum(X, Y)) == 1.0
    assert instructions(X + 1.0) == 1.0
    for name, expression in ACTIVATIONS.items():
        steps = len(lowered(expression).steps)
        assert steps / 2 <= instructions(expression) <= 2.5 * steps + 1, name
    assert instructions(SIGMOID) < instructions(ACTIVATIONS["gelu"])


def test_expressions_of_more_operands_than_usual_have_a_length_too() -> None:
    for operands in (8, 9, 18, 30):
        total = functools.reduce(operator.add, map(Operand, range(operands)))
        assert operands - 1 <= instructions(total) <= operands
    with pytest.raises(ScheduleError, match="33 operands"):
        instructions(functools.reduce(operator.add, map(Operand, range(33))))


def test_elements_that_share_nothing_are_computed_together() -> None:
    """Four elements take far less than four times what one alone does, which waits for the special functions."""
    free = [R0, *(file(i) for i in range(8, 30) for file in (A, B))]
    elements = [Element((A(i),), A(i)) for i in range(4)]
    assert place(SIGMOID, elements, free).width > 1
