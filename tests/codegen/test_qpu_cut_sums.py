"""Long sums on the QPUs, whose adders cut: the loss, as numpy has it too, and what weights and partial sums mend."""

from __future__ import annotations

import numpy as np
import pytest

from codegen.algorithm import algorithm_named
from codegen.bundle.filled import filled_shares
from codegen.engines.videocore4.cut_sums import SumsInOrder, made_up_for, mended
from codegen.expression import RELU, RESULT, Expression, Operand, apply, maximum
from codegen.graph import LayerSpec
from codegen.operator import Operator
from codegen.operators.chain import Chain
from codegen.operators.concat import Concat
from codegen.operators.conv2d import Conv2d
from codegen.operators.elementwise import Map
from codegen.operators.fully_connected import FullyConnected
from codegen.operators.pool2d import Pool2d
from codegen.plan import PlanStep
from codegen.schedule import Choice
from codegen.tensor import Doubles, FloatArray
from tests.codegen.gpu_run import TARGET, run_layer
from tests.codegen.layers import convolution, inferred_layer

TERMS = 1024
CONVOLUTIONS = (
    "qpu_pointwise_blocked",
    "qpu_pointwise_channels",
    "qpu_pointwise_rotated",
    "qpu_implicit_gemm",
    "qpu_implicit_rotated",
)


def cut(values: Doubles) -> Doubles:
    """Rounded to float32 towards zero."""
    nearest = values.astype(np.float32)
    beyond = np.abs(nearest.astype(np.float64)) > np.abs(values)
    return np.where(beyond, np.nextafter(nearest, np.float32(0)), nearest).astype(np.float64)


def chosen(name: str, spec: LayerSpec) -> Choice:
    """The first point of an algorithm's space that has a kernel."""
    algorithm = algorithm_named(name)
    return algorithm.choice(spec, TARGET, next(iter(algorithm.space(spec, TARGET).points())))


def drawn(spec: LayerSpec, rectified: bool = False) -> tuple[list[FloatArray], list[FloatArray]]:
    rng = np.random.default_rng(3)
    values = rng.standard_normal(spec.inputs[0].shape, dtype=np.float32)
    factors, biases = (rng.standard_normal(tensor.shape, dtype=np.float32) for tensor in spec.weights)
    inputs = [np.maximum(values, np.float32(0)) if rectified else values]
    return inputs, [factors / np.float32(np.sqrt(factors[0].size)), biases]


def shrunk(spec: LayerSpec, actual: FloatArray, inputs: list[FloatArray], weights: list[FloatArray]) -> float:
    """By what share the results are nearer to zero than they should be, as the slope of a line through both."""
    values, constants = ([value.astype(np.float64) for value in some] for some in (inputs, weights))
    wanted = spec.op.evaluate(values, constants, spec.outputs)[0]
    return float(1.0 - (actual * wanted).sum() / (wanted * wanted).sum())


def test_a_long_sum_is_cut_as_numpy_cuts_it() -> None:
    spec = inferred_layer(FullyConnected(), (1, TERMS), weights=((32, TERMS), (32,)))
    inputs, weights = drawn(spec)
    total = weights[1].astype(np.float64)
    for term in range(TERMS):
        product = cut(weights[0][:, term].astype(np.float64) * np.float64(inputs[0][0, term]))
        total = cut(total + product)
    (actual,) = run_layer(spec, chosen("qpu_fully_connected", spec), inputs, weights)
    np.testing.assert_array_equal(actual[0], total.astype(np.float32))


@pytest.mark.parametrize("filled", [1.0, 0.5])
@pytest.mark.parametrize("name", ["qpu_fully_connected", *CONVOLUTIONS])
def test_weights_make_up_for_what_is_cut(name: str, filled: float) -> None:
    spec = inferred_layer(FullyConnected(), (1, TERMS), weights=((512, TERMS), (512,)))
    if name in CONVOLUTIONS:
        side, pads = (3, (1, 1, 1, 1)) if "implicit" in name else (1, (0, 0, 0, 0))
        channels = TERMS // 8 if side == 3 else TERMS
        spec = convolution(channels, 32, (8, 8), Conv2d((side, side), pads=pads))
    inputs, weights = drawn(spec, rectified=filled < 1.0)
    choice, algorithm = chosen(name, spec), algorithm_named(name)
    assert isinstance(algorithm, SumsInOrder)
    order = algorithm.order_of_sums(spec, choice)
    assert order.shape == weights[0].shape[1:] and sorted(order.reshape(-1)) == list(range(order.size))
    (plain,) = run_layer(spec, choice, inputs, weights)
    (less_cut,) = run_layer(spec, choice, inputs, made_up_for(weights, order, filled))
    before, after = (shrunk(spec, actual, inputs, weights) for actual in (plain, less_cut))
    assert before > 4e-6 and abs(after) < 0.25 * before


def test_weights_of_a_convolution_with_its_pool_make_up_for_what_is_cut() -> None:
    conv = Conv2d((7, 7), (2, 2), (3, 3, 3, 3))
    first = inferred_layer(conv, (1, 3, 64, 64), weights=((32, 3, 7, 7), (32,)))
    second = inferred_layer(Pool2d("max", (3, 3), (2, 2), (1, 1, 1, 1)), *first.outputs)
    chain = Chain((first, second), ((0,), (-1,)))
    spec = LayerSpec(chain, first.inputs, second.outputs, first.weights)
    (inputs, weights), name = drawn(spec), "qpu_planes_pool"
    choice, algorithm = chosen(name, spec), algorithm_named(name)
    assert isinstance(algorithm, SumsInOrder)
    order = algorithm.order_of_sums(spec, choice)
    assert order.shape == weights[0].shape[1:] and sorted(order.reshape(-1)) == list(range(order.size))
    (plain,) = run_layer(spec, choice, inputs, weights)
    (less_cut,) = run_layer(spec, choice, inputs, mended(algorithm, spec, choice, weights, 1.0))
    before, after = (shrunk(spec, actual, inputs, weights) for actual in (plain, less_cut))
    assert before > 1e-6 and abs(after) < 0.25 * before


def test_what_loses_nothing_stays_as_it_is() -> None:
    order = np.arange(64)[::-1].copy()
    selection, largest = np.eye(4, 64, dtype=np.float32), np.full((1, 64), np.finfo(np.float32).max)
    for factors in (selection, largest):
        weights = [factors, np.ones(len(factors), np.float32), np.ones(3, np.float32)]
        for before, after in zip(weights[::2], made_up_for(weights, order, 1.0)[::2], strict=True):
            np.testing.assert_array_equal(before, after)
    (factors, biases) = made_up_for([np.ones((1, 64), np.float32), np.ones(1, np.float32)], order, 1.0)
    assert np.all(np.diff(factors[0]) >= 0) and factors[0, 0] > 1.0 and biases[0] > factors[0, 0]


def test_means_of_many_pixels_are_sums_of_sums() -> None:
    spec = inferred_layer(Pool2d("average", (40, 40)), (1, 32, 40, 40))
    inputs = [np.abs(np.random.default_rng(3).standard_normal(spec.inputs[0].shape, dtype=np.float32))]
    (actual,) = run_layer(spec, chosen("qpu_global_average", spec), inputs, [])
    np.testing.assert_allclose(actual, inputs[0].mean((2, 3), np.float64, keepdims=True), rtol=6e-6)


def step(op: Operator, inputs: tuple[str, ...], output: str) -> PlanStep:
    spec = LayerSpec(op, (), ())
    return PlanStep.model_construct(name=output, spec=spec, inputs=inputs, outputs=(output,))


@pytest.mark.parametrize(
    "expression, share",
    [
        (RELU, 0.5),
        (RESULT, 1.0),
        (RESULT * Operand(1) + Operand(2), 1.0),
        (maximum(RESULT * Operand(1) + Operand(2), 0.0), 0.5),
        (1.0 / (1.0 + apply("exp", -RESULT)), 1.0),
    ],
)
def test_half_of_what_is_rectified_is_zero(expression: Expression, share: float) -> None:
    steps = [
        step(Map(expression), ("x",), "map"),
        step(Conv2d((1, 1), epilogue=expression), ("x",), "conv"),
        step(
            Chain((LayerSpec(Concat(1), (), ()), LayerSpec(Map(expression), (), ())), ((0,), (-1,))),
            ("x",),
            "chain",
        ),
        step(Concat(1), ("map", "x"), "both"),
        step(Pool2d("max", (2, 2)), ("map",), "pool"),
    ]
    assert filled_shares(steps) == {
        "map": share,
        "conv": share,
        "chain": share,
        "both": (share + 1.0) / 2,
        "pool": 1.0,
    }
