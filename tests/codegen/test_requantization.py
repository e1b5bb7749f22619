"""Sums of integers are multiplied and rounded once, as ONNX's reference implementation does it in float64."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import helper

from codegen.expression import RESULT, Operand
from codegen.requantization import as_rounded_product, requantized
from tests.codegen.quantized_models import by_onnx, model_of, scale, whole_numbers
from tests.codegen.test_quantized_import import checked

SUMS = np.arange(-16000, 16000)


def product_model(multiplier: float, point: int, result: str = "int8") -> tuple[np.ndarray, object]:
    """All integers of 8 bits by all weights of 7, and the model that multiplies them."""
    constants = {
        "xs": scale(multiplier),
        "xz": np.array(0, np.int8),
        "w": np.arange(-64, 64, dtype=np.int8)[None, :],
        "ws": scale(1.0),
        "wz": np.array(0, np.int8),
        "ys": scale(1.0),
        "yz": np.array(point, result),
    }
    node = helper.make_node("QLinearMatMul", ["x", "xs", "xz", "w", "ws", "wz", "ys", "yz"], ["y"])
    value = np.arange(-128, 128, dtype=np.int8)[:, None]
    return value, model_of([node], value.shape, constants, "int8")


def nearly_tied(count: int) -> list[float]:
    """Factors by which a sum lies beside the middle of two integers, and in float32 on it."""
    found: list[float] = []
    for drawn in np.random.default_rng(5).uniform(0.001, 0.02, 4000).astype(np.float32):
        exact, single = SUMS * np.float64(drawn), SUMS.astype(np.float32) * drawn
        inside = np.abs(exact) < 100
        if np.any((np.rint(exact) != np.rint(single))[inside]):
            found.append(float(drawn))
    return found[:count]


@pytest.mark.parametrize("point", [0, 3, -6])
@pytest.mark.parametrize("multiplier", [0.5, 0.25, 0.125, 0.01])
def test_the_middle_of_two_integers_is_rounded_as_by_onnx(multiplier: float, point: int) -> None:
    value, model = product_model(multiplier, point)
    checked(model, value)  # type: ignore[arg-type]


def test_what_is_a_middle_in_float32_alone_is_rounded_by_what_it_is() -> None:
    factors = nearly_tied(3)
    assert len(factors) == 3
    for factor in factors:
        value, model = product_model(factor, 1)
        checked(model, value)  # type: ignore[arg-type]


@pytest.mark.parametrize("point", [0, 7])
def test_a_sum_of_quantised_tensors_is_divided_as_by_onnx(point: int) -> None:
    """One that lies behind a convolution, whose end it becomes."""
    constants = {
        "xs": scale(0.0373),
        "xz": np.array(point, np.uint8),
        "w": whole_numbers((4, 4, 1, 1), "int8"),
        "ws": scale(0.011),
        "wz": np.array(0, np.int8),
        "cs": scale(0.0912),
        "cz": np.array(121, np.uint8),
        "ys": scale(0.0731),
        "yz": np.array(93, np.uint8),
    }
    nodes = [
        helper.make_node("QLinearConv", ["x", "xs", "xz", "w", "ws", "wz", "cs", "cz"], ["c"]),
        helper.make_node("DequantizeLinear", ["c", "cs", "cz"], ["d"]),
        helper.make_node("DequantizeLinear", ["x", "xs", "xz"], ["a"]),
        helper.make_node("Add", ["d", "a"], ["e"]),
        helper.make_node("QuantizeLinear", ["e", "ys", "yz"], ["y"]),
    ]
    model, value = model_of(nodes, (1, 4, 90, 90), constants, "uint8"), whole_numbers((1, 4, 90, 90), "uint8")
    graph = checked(model, value)
    assert len(graph.nodes) == 1
    assert len(np.unique(by_onnx(model, value))) > 100


def test_what_is_a_rounded_product() -> None:
    for inside, zero in ((0, 0), (5, 0), (0, -4), (-3, 2)):
        value = RESULT + float(inside) if inside else RESULT
        found = as_rounded_product(requantized(value, zero, "int8"))
        assert found is not None and (found.inside, found.zero, found.low, found.high) == (
            inside,
            zero,
            -128,
            127,
        )
    for value in (RESULT * 0.5, RESULT + 0.5, Operand(1), RESULT + Operand(1)):
        assert as_rounded_product(requantized(value, 0, "int8")) is None
    assert as_rounded_product(RESULT + 1.0) is None
