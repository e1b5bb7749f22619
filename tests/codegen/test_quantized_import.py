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


def between(nodes: list[Any], weights: dict[str, np.ndarray], zero: int = 3) -> ModelProto:
    """Nodes from `a` to `b` between DequantizeLinear and QuantizeLinear."""
    constants = {
        "xs": scale(0.02),
        "xz": np.array(zero, np.uint8),
        "ys": scale(0.05),
        "yz": np.array(9, np.uint8),
    }
    ends = [
        helper.make_node("DequantizeLinear", ["x", "xs", "xz"], ["a"]),
        helper.make_node("QuantizeLinear", ["b", "ys", "yz"], ["y"]),
    ]
    return model_of([ends[0], *nodes, ends[1]], SHAPE, {**constants, **weights}, "uint8")


def dequantized_weights(shape: tuple[int, ...], name: str = "w") -> tuple[list[Any], dict[str, np.ndarray]]:
    """Nodes and constants of int8 weights with a scale for each output, and their bias."""
    outputs = shape[0]
    scales = np.linspace(0.001, 0.004, outputs, dtype=np.float32)
    constants = {
        f"{name}q": whole_numbers(shape, "int8"),
        f"{name}s": scales,
        f"{name}z": np.zeros(outputs, np.int8),
        f"{name}bq": np.arange(outputs, dtype=np.int32) * 100,
        f"{name}bs": scales * np.float32(0.02),
    }
    nodes = [
        helper.make_node("DequantizeLinear", [f"{name}q", f"{name}s", f"{name}z"], [name], axis=0),
        helper.make_node("DequantizeLinear", [f"{name}bq", f"{name}bs"], [f"{name}b"], axis=0),
    ]
    return nodes, constants


@pytest.mark.parametrize("groups", [1, 5])
@pytest.mark.parametrize("activation", ["", "Relu", "Clip"])
def test_a_convolution_between_conversions_is_one_layer(activation: str, groups: int) -> None:
    nodes, constants = dequantized_weights((5, 5 // groups, 3, 3))
    last = "c" if activation else "b"
    nodes.append(helper.make_node("Conv", ["a", "w", "wb"], [last], group=groups, pads=[1, 1, 1, 1]))
    if activation:
        ends = ["low", "high"] if activation == "Clip" else []
        nodes.append(helper.make_node(activation, ["c", *ends], ["b"]))
        constants |= {"low": scale(0.0), "high": scale(6.0)} if ends else {}
    graph = checked(between(nodes, constants), whole_numbers(SHAPE, "uint8"), most_off=1)
    assert [type(node.op).__name__ for node in graph.nodes] == ["QuantizedConv2d"]


def rounded(source: str, result: str) -> list[Any]:
    """Nodes and constants of a conversion to integers and back."""
    return [
        helper.make_node("QuantizeLinear", [source, f"{result}s", f"{result}z"], [f"{result}q"]),
        helper.make_node("DequantizeLinear", [f"{result}q", f"{result}s", f"{result}z"], [result]),
    ]


def test_a_sum_is_the_end_of_the_convolution_before_it() -> None:
    nodes, constants = dequantized_weights((5, 5, 3, 3))
    nodes.append(helper.make_node("Conv", ["a", "w", "wb"], ["c"], pads=[1, 1, 1, 1]))
    nodes += rounded("c", "d")
    nodes.append(helper.make_node("Add", ["d", "a"], ["e"]))
    nodes.append(helper.make_node("Relu", ["e"], ["b"]))
    constants |= {"ds": scale(0.1), "dz": np.array(128, np.uint8)}
    graph = checked(between(nodes, constants), whole_numbers(SHAPE, "uint8"), most_off=1)
    (node,) = graph.nodes
    assert isinstance(node.op, QuantizedConv2d) and len(node.inputs) == 2


def test_parts_are_rounded_before_they_stand_behind_each_other() -> None:
    first, constants = dequantized_weights((4, 5, 1, 1), "w")
    second, others = dequantized_weights((6, 5, 1, 1), "v")
    nodes = [
        *first,
        *second,
        helper.make_node("Conv", ["a", "w", "wb"], ["c"]),
        helper.make_node("Conv", ["a", "v", "vb"], ["d"]),
        helper.make_node("Concat", ["c", "d"], ["b"], axis=1),
    ]
    graph = checked(between(nodes, {**constants, **others}), whole_numbers(SHAPE, "uint8"), most_off=1)
    assert sorted(type(node.op).__name__ for node in graph.nodes) == [
        "Concat",
        "QuantizedConv2d",
        "QuantizedConv2d",
    ]


def test_the_largest_of_integers_is_an_integer() -> None:
    node = helper.make_node("MaxPool", ["a"], ["b"], kernel_shape=[3, 3], pads=[1, 1, 1, 1])
    graph = checked(between([node], {}), whole_numbers(SHAPE, "uint8"))
    assert {graph.types[name].dtype for one in graph.nodes for name in one.outputs} == {"uint8"}


def test_an_average_of_integers_is_their_sum() -> None:
    node = helper.make_node("GlobalAveragePool", ["a"], ["b"])
    graph = checked(between([node], {}), whole_numbers(SHAPE, "uint8"), most_off=1)
    assert [type(one.op).__name__ for one in graph.nodes] == ["QuantizedPool2d"]


def test_an_average_of_a_sum_that_is_rounded_first_reads_integers() -> None:
    nodes = [helper.make_node("Add", ["a", "a"], ["c"]), *rounded("c", "d")]
    nodes.append(helper.make_node("GlobalAveragePool", ["d"], ["b"]))
    constants = {"ds": scale(0.1), "dz": np.array(128, np.uint8)}
    graph = checked(between(nodes, constants), whole_numbers(SHAPE, "uint8"), most_off=1)
    assert [type(one.op).__name__ for one in graph.nodes] == ["TypedMap", "QuantizedPool2d"]


def test_conversions_that_give_back_what_was_there_go() -> None:
    model = between([helper.make_node("Identity", ["a"], ["b"])], {})
    for tensor in model.graph.initializer:
        if tensor.name in ("ys", "yz"):
            tensor.CopyFrom(
                next(other for other in model.graph.initializer if other.name == f"x{tensor.name[1]}")
            )
            tensor.name = f"y{tensor.name[1]}"
    graph = checked(model, whole_numbers(SHAPE, "uint8"))
    assert [type(node.op).__name__ for node in graph.nodes] == ["Reshape"]


def test_a_product_between_conversions_is_one_layer() -> None:
    nodes, constants = dequantized_weights((7, 6))
    nodes.append(helper.make_node("Gemm", ["a", "w", "wb"], ["b"], transB=1))
    model = between(nodes, constants)
    for sizes in (model.graph.input[0].type.tensor_type.shape.dim,):
        del sizes[2:]
        sizes[0].dim_value, sizes[1].dim_value = 3, 6
    graph = checked(model, whole_numbers((3, 6), "uint8"), most_off=1)
    assert len(layers(graph)) == 1
