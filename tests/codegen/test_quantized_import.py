"""Quantised operators become layers of integers, which give what ONNX's reference implementation gives."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from onnx import ModelProto, helper

from codegen.graph import Graph
from codegen.onnx_import.reader import import_model
from codegen.operators.quantized_conv2d import QuantizedConv2d
from codegen.passes import optimize
from codegen.reference import evaluate
from tests.codegen.quantized_models import by_onnx, model_of, scale, whole_numbers

SHAPE = (2, 5, 9, 8)
WINDOW: dict[str, Any] = {"pads": [1, 0, 2, 1], "strides": [2, 1]}
MULTIPLIERS = np.linspace(0.001, 0.004, 7, dtype=np.float32)


def layers(graph: Graph) -> list[QuantizedConv2d]:
    return [node.op for node in graph.nodes if isinstance(node.op, QuantizedConv2d)]


def checked(model: ModelProto, value: np.ndarray, most_off: int = 0) -> Graph:
    """The fused graph, whose integers are those of ONNX's reference."""
    graph = optimize(import_model(model))
    (result,) = evaluate(graph, {"x": value}).values()
    expected = by_onnx(model, value)
    assert graph.types[graph.outputs[0]].dtype == expected.dtype
    assert np.count_nonzero(result != expected) <= most_off, np.abs(result - expected).max()
    return graph


def q_linear_conv(source: str, weights: str, result: str, bias: bool, points: tuple[int, int]) -> ModelProto:
    kernel = whole_numbers((7, 5, 3, 2), weights)
    constants: dict[str, Any] = {
        "xs": scale(0.02),
        "xz": np.array(points[0], dtype=source),
        "w": kernel,
        "ws": MULTIPLIERS,
        "wz": np.zeros(7, dtype=weights),
        "ys": scale(0.05),
        "yz": np.array(points[1], dtype=result),
        **({"b": np.arange(-300, 400, 100, dtype=np.int32)} if bias else {}),
    }
    names = ["x", "xs", "xz", "w", "ws", "wz", "ys", "yz", *(["b"] if bias else [])]
    node = helper.make_node("QLinearConv", names, ["y"], **WINDOW)
    return model_of([node], SHAPE, constants, source)


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize(
    ("source", "result", "points"),
    [("uint8", "uint8", (128, 120)), ("int8", "int8", (-3, 6)), ("uint8", "int8", (0, 0))],
)
def test_q_linear_conv(source: str, result: str, points: tuple[int, int], bias: bool) -> None:
    model = q_linear_conv(source, "int8", result, bias, points)
    assert len(layers(checked(model, whole_numbers(SHAPE, source)))) == 1


def test_weights_that_int8_has_not_are_multiplied_all_the_same() -> None:
    model = q_linear_conv("uint8", "uint8", "uint8", True, (3, 4))
    assert not layers(checked(model, whole_numbers(SHAPE, "uint8")))


def test_conv_integer() -> None:
    constants = {
        "w": whole_numbers((4, 5, 3, 3), "uint8") // 2,
        "xz": np.array(7, np.uint8),
        "wz": np.array(64, np.uint8),
    }
    node = helper.make_node("ConvInteger", ["x", "w", "xz", "wz"], ["y"], pads=[1, 1, 1, 1])
    graph = checked(model_of([node], SHAPE, constants, "uint8"), whole_numbers(SHAPE, "uint8"))
    assert [op.dtype for op in layers(graph)] == ["int32"]


@pytest.mark.parametrize("shape", [(3, 6), (2, 3, 6)])
def test_mat_mul_integer(shape: tuple[int, ...]) -> None:
    constants = {"w": whole_numbers((6, 5), "int8"), "xz": np.array(9, np.uint8)}
    node = helper.make_node("MatMulInteger", ["x", "w", "xz"], ["y"])
    graph = checked(model_of([node], shape, constants, "uint8"), whole_numbers(shape, "uint8"))
    assert [op.dtype for op in layers(graph)] == ["int32"]


def test_q_linear_mat_mul() -> None:
    constants = {
        "xs": scale(0.02),
        "xz": np.array(-3, np.int8),
        "w": whole_numbers((6, 5), "int8"),
        "ws": scale(0.01),
        "wz": np.array(0, np.int8),
        "ys": scale(0.03),
        "yz": np.array(4, np.int8),
    }
    node = helper.make_node("QLinearMatMul", ["x", "xs", "xz", "w", "ws", "wz", "ys", "yz"], ["y"])
    assert (
        len(layers(checked(model_of([node], (3, 6), constants, "int8"), whole_numbers((3, 6), "int8")))) == 1
    )
