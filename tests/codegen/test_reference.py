"""The reference evaluator against definitions written as loops."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codegen.errors import GraphSpecError
from codegen.expression import RELU, RESULT, Expression, clamp
from codegen.graph import Graph, Node
from codegen.operator import Operator
from codegen.operators.concat import Concat
from codegen.operators.conv2d import Conv2d
from codegen.operators.elementwise import Map
from codegen.operators.fully_connected import FullyConnected
from codegen.operators.pad2d import Pad2d
from codegen.operators.pool2d import Pool2d
from codegen.operators.relayout import Relayout
from codegen.operators.reshape import Reshape
from codegen.operators.softmax import Softmax
from codegen.operators.transpose import Transpose
from codegen.reference import evaluate, evaluate_all, evaluate_layer
from codegen.tensor import TensorType
from tests.codegen.layers import inferred_shape, layer_spec, sum_of_two


def layer(op: Operator, value: np.ndarray, *weights: np.ndarray, shape: tuple[int, ...] = ()) -> np.ndarray:
    inferred = inferred_shape(op, [value.shape], [weight.shape for weight in weights], shape)
    types = tuple(TensorType(weight.shape) for weight in weights)
    spec = layer_spec(op, (TensorType(value.shape),), TensorType(inferred), types)
    return evaluate_layer(spec, [value], weights)[0]


def window_values(
    op: Conv2d | Pool2d, plane: np.ndarray, row: int, column: int
) -> list[tuple[int, int, float | None]]:
    """The taps of one window: place in the kernel and value, None in the padding."""
    taps: list[tuple[int, int, float | None]] = []
    for i, j in itertools.product(range(op.kernel[0]), range(op.kernel[1])):
        y = row * op.strides[0] - op.pads[0] + i * op.dilations[0]
        x = column * op.strides[1] - op.pads[1] + j * op.dilations[1]
        inside = 0 <= y < plane.shape[0] and 0 <= x < plane.shape[1]
        taps.append((i, j, float(plane[y, x]) if inside else None))
    return taps


def conv_by_loops(
    op: Conv2d, value: np.ndarray, weight: np.ndarray, bias: np.ndarray, shape: tuple[int, ...]
) -> np.ndarray:
    result = np.zeros(shape)
    depth, per_group = weight.shape[1], weight.shape[0] // op.groups
    for n, c, row, column in np.ndindex(*shape):
        first = c // per_group * depth
        result[n, c, row, column] = bias[c] + sum(
            weight[c, k, i, j] * (tap or 0.0)
            for k in range(depth)
            for i, j, tap in window_values(op, value[n, first + k], row, column)
        )
    return op.epilogue.evaluate((result,))


def pool_by_loops(op: Pool2d, value: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    result = np.zeros(shape)
    for n, c, row, column in np.ndindex(*shape):
        taps = [tap for _, _, tap in window_values(op, value[n, c], row, column)]
        real = [tap for tap in taps if tap is not None]
        divisor = len(taps) if op.include_padding else len(real)
        result[n, c, row, column] = max(real) if op.kind == "max" else sum(real) / divisor
    return op.epilogue.evaluate((result,))


PAIRS = st.tuples(st.integers(1, 3), st.integers(1, 3))
ACTIVATIONS = st.sampled_from([RESULT, RELU, clamp(RESULT, -0.5, 0.5)])


@settings(max_examples=40, deadline=None)
@given(
    kernel=PAIRS,
    strides=PAIRS,
    dilations=PAIRS,
    pads=st.tuples(*[st.integers(0, 2)] * 4),
    groups=st.sampled_from([1, 2, 4]),
    epilogue=ACTIVATIONS,
)
def test_convolution(
    kernel: tuple[int, int],
    strides: tuple[int, int],
    dilations: tuple[int, int],
    pads: tuple[int, int, int, int],
    groups: int,
    epilogue: Expression,
) -> None:
    random = np.random.default_rng(0)
    op = Conv2d(kernel, strides, pads, dilations, groups, epilogue)
    value, weight = random.standard_normal((2, 4, 8, 7)), random.standard_normal((8, 4 // groups, *kernel))
    bias = random.standard_normal(8)
    found = layer(op, value, weight, bias)
    np.testing.assert_allclose(
        found, conv_by_loops(op, value, weight, bias, found.shape), rtol=1e-12, atol=1e-12
    )


@settings(max_examples=40, deadline=None)
@given(
    kind=st.sampled_from(["max", "average"]),
    extra=st.tuples(st.integers(0, 2), st.integers(0, 2)),
    strides=PAIRS,
    dilations=PAIRS,
    pads=st.tuples(*[st.integers(0, 2)] * 4),
    include_padding=st.booleans(),
    epilogue=ACTIVATIONS,
)
def test_pool(
    kind: str,
    extra: tuple[int, int],
    strides: tuple[int, int],
    dilations: tuple[int, int],
    pads: tuple[int, int, int, int],
    include_padding: bool,
    epilogue: Expression,
) -> None:
    kernel = (max(pads[0], pads[2]) + 1 + extra[0], max(pads[1], pads[3]) + 1 + extra[1])
    op = Pool2d(kind, kernel, strides, pads, dilations, include_padding, epilogue)
    value = np.random.default_rng(0).standard_normal((2, 3, 14, 13)) - 1.0
    try:
        found = layer(op, value)
    except GraphSpecError:
        assert max(kernel) > 3  # only a window above the padded plane may be refused
        return
    np.testing.assert_allclose(found, pool_by_loops(op, value, found.shape), rtol=1e-12)


def test_fully_connected_with_clamp() -> None:
    value, weight, bias = np.array([[1.0, 2.0]]), np.array([[1.0, 1.0], [-1.0, 0.0]]), np.array([0.5, 0.0])
    np.testing.assert_array_equal(layer(FullyConnected(RELU), value, weight, bias), [[3.5, 0.0]])


def test_softmax_of_large_values_sums_to_one() -> None:
    value = np.array([[1000.0, 1001.0, 999.0]])
    found = layer(Softmax(1), value)
    np.testing.assert_allclose(found, np.exp([[-1.0, 0.0, -2.0]]) / np.exp([-1.0, 0.0, -2.0]).sum())


def test_operators_that_move_nothing() -> None:
    value = np.arange(24.0).reshape(1, 4, 2, 3)
    np.testing.assert_array_equal(layer(Reshape(), value, shape=(4, 6)), value.reshape(4, 6))
    np.testing.assert_array_equal(layer(Relayout("nchw", "pixel16"), value), value)
    np.testing.assert_array_equal(layer(Map(clamp(RESULT, 3.0, 5.0)), value), np.clip(value, 3.0, 5.0))


def test_operators_of_several_tensors() -> None:
    first, second = np.arange(12.0).reshape(1, 2, 2, 3), np.full((1, 1, 2, 3), -5.0)
    image, small = TensorType(first.shape), TensorType(second.shape)
    (total,) = evaluate_layer(
        layer_spec(sum_of_two(clamp(RESULT, 0.0, 9.0)), (image, image), image), [first, first - 8], []
    )
    np.testing.assert_array_equal(total.reshape(-1), [0, 0, 0, 0, 0, 2, 4, 6, 8, 9, 9, 9])
    joined = TensorType((1, 3, 2, 3))
    (found,) = evaluate_layer(layer_spec(Concat(1), (small, image), joined), [second, first], [])
    np.testing.assert_array_equal(found.reshape(-1), [*[-5.0] * 6, *range(12)])


def test_padding_and_transposition() -> None:
    value = np.arange(1.0, 7.0).reshape(1, 1, 2, 3)
    np.testing.assert_array_equal(
        layer(Pad2d((1, 0, 0, 2)), value)[0, 0], [[0, 0, 0, 0, 0], [1, 2, 3, 0, 0], [4, 5, 6, 0, 0]]
    )
    np.testing.assert_array_equal(layer(Transpose((0, 3, 2, 1)), value)[0, :, :, 0], [[1, 4], [2, 5], [3, 6]])


def test_clamp_with_crossed_ends_gives_the_upper_one() -> None:
    found = clamp(RESULT, 2.0, 1.0).evaluate((np.array([-9.0, 0.0, 9.0]),))
    np.testing.assert_array_equal(found, [1.0, 1.0, 1.0])


def test_single_precision_input_is_computed_in_double() -> None:
    value = np.full((1, 1 << 12), 0.1, dtype=np.float32)
    weight, bias = np.ones((1, 1 << 12), dtype=np.float32), np.zeros(1, dtype=np.float32)
    found = layer(FullyConnected(), value, weight, bias)
    assert found.dtype == np.float64
    assert found[0, 0] == pytest.approx(float(np.float32(0.1)) * (1 << 12), rel=1e-12)


GRAPH = Graph(
    "two",
    ("x",),
    ("y",),
    (Node("a", Map(RELU), ("x",), ("t",)), Node("b", Reshape(), ("t",), ("y",))),
    {"x": TensorType((2, 2)), "t": TensorType((2, 2)), "y": TensorType((4,))},
    {},
)


def test_graph_by_names() -> None:
    value = np.array([[-1.0, 2.0], [3.0, -4.0]])
    assert list(evaluate(GRAPH, {"x": value})) == ["y"]
    np.testing.assert_array_equal(evaluate(GRAPH, {"x": value})["y"], [0.0, 2.0, 3.0, 0.0])
    assert list(evaluate_all(GRAPH, {"x": value})) == ["x", "t", "y"]


@pytest.mark.parametrize("inputs", [{}, {"z": np.zeros((2, 2))}, {"x": np.zeros((2, 3))}])
def test_graph_with_wrong_inputs(inputs: dict[str, np.ndarray]) -> None:
    with pytest.raises(GraphSpecError, match="input 'x'"):
        evaluate(GRAPH, inputs)
