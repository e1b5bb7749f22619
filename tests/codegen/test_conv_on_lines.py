"""Convolutions and pools over (N, C, L): imported as ones over planes of a single row, against onnxruntime."""

from __future__ import annotations

from typing import Any

import pytest
from onnx import helper

from codegen.errors import ModelError
from codegen.onnx_import.reader import import_model
from codegen.operators.conv2d import Conv2d
from codegen.operators.conv_transpose2d import ConvTranspose2d
from codegen.operators.pool2d import Pool2d
from codegen.operators.pool_nd import PoolNd
from codegen.operators.reshape import Reshape
from tests.codegen.onnx_cases import Case, compare, model_of, normal, single

LINES = (2, 6, 17)
FORMS: dict[str, tuple[tuple[int, ...], dict[str, Any]]] = {
    "plain": ((4, 6, 3), {}),
    "strided": ((4, 6, 4), {"strides": [3], "pads": [2, 1]}),
    "dilated": ((4, 6, 3), {"dilations": [4], "pads": [3, 5]}),
    "same, lower": ((4, 6, 4), {"strides": [2], "auto_pad": "SAME_LOWER"}),
    "depthwise": ((6, 1, 5), {"group": 6, "pads": [4, 0]}),
    "grouped": ((8, 3, 1), {"group": 2, "kernel_shape": [1]}),
}


TRANSPOSED: dict[str, tuple[tuple[int, ...], dict[str, Any]]] = {
    "plain": ((6, 4, 3), {}),
    "strided": ((6, 4, 4), {"strides": [3], "pads": [2, 1], "output_padding": [2]}),
    "dilated": ((6, 4, 3), {"dilations": [4], "pads": [3, 5], "kernel_shape": [3]}),
    "same, lower": ((6, 4, 5), {"strides": [2], "auto_pad": "SAME_LOWER"}),
    "of a size": ((6, 4, 5), {"strides": [2], "output_shape": [33]}),
    "grouped": ((6, 3, 4), {"group": 2, "strides": [2]}),
}
POOLS: dict[str, dict[str, Any]] = {
    "plain": {"kernel_shape": [3]},
    "strided": {"kernel_shape": [4], "strides": [3], "pads": [2, 1]},
    "upwards": {"kernel_shape": [4], "strides": [3], "pads": [1, 0], "ceil_mode": 1},
    "same": {"kernel_shape": [4], "strides": [2], "auto_pad": "SAME_UPPER"},
    "dilated": {"kernel_shape": [3], "dilations": [3], "strides": [2], "pads": [2, 1]},
}


@pytest.mark.parametrize("form", TRANSPOSED)
@pytest.mark.parametrize("biased", [False, True])
def test_transposed_results_are_those_of_onnx(form: str, biased: bool) -> None:
    shape, attributes = TRANSPOSED[form]
    outputs = shape[1] * attributes.get("group", 1)
    weights = [normal(*shape), *([normal(outputs)] if biased else [])]
    graph = compare(single(Case("ConvTranspose", LINES, weights, attributes), 11), LINES)
    assert [type(node.op) for node in graph.nodes] == [Reshape, ConvTranspose2d, Reshape]


@pytest.mark.parametrize("form", POOLS)
@pytest.mark.parametrize(
    ("op_type", "further"),
    [
        ("MaxPool", {}),
        ("AveragePool", {}),
        ("AveragePool", {"count_include_pad": 1}),
    ],
)
def test_pools_are_those_of_onnx(form: str, op_type: str, further: dict[str, Any]) -> None:
    attributes = {**POOLS[form], **further}
    graph = compare(single(Case(op_type, LINES, [], attributes), 19), LINES)
    two_paddings = "count_include_pad" in further and "ceil_mode" in attributes
    operators = [PoolNd] if two_paddings else [Reshape, Pool2d, Reshape]
    assert [type(node.op) for node in graph.nodes] == operators


@pytest.mark.parametrize("op_type", ["GlobalAveragePool", "GlobalMaxPool"])
def test_pools_of_the_whole_line_are_those_of_onnx(op_type: str) -> None:
    graph = compare(single(Case(op_type, LINES, [], {}), 12), LINES)
    assert [type(node.op) for node in graph.nodes] == [Reshape, Pool2d, Reshape]


@pytest.mark.parametrize("attributes", [{}, {"kernel_shape": [3, 3]}, {"kernel_shape": [0]}])
def test_a_pool_without_a_window_of_one_axis_is_malformed(attributes: dict[str, Any]) -> None:
    with pytest.raises(ModelError):
        import_model(single(Case("MaxPool", LINES, [], attributes), 12))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("biased", [False, True])
def test_results_are_those_of_onnx(form: str, biased: bool) -> None:
    shape, attributes = FORMS[form]
    weights = [normal(*shape), *([normal(shape[0])] if biased else [])]
    graph = compare(single(Case("Conv", LINES, weights, attributes), 11), LINES)
    assert [type(node.op) for node in graph.nodes] == [Reshape, Conv2d, Reshape]


def test_reshapes_between_two_of_them_vanish() -> None:
    nodes = [
        helper.make_node("Conv", ["x", "v"], ["a"]),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("Conv", ["b", "w"], ["y"]),
    ]
    graph = compare(model_of(nodes, LINES, {"v": normal(4, 6, 3), "w": normal(5, 4, 3)}, 13), LINES)
    assert [type(node.op) for node in graph.nodes] == [Reshape, Conv2d, Conv2d, Reshape]


def test_a_kernel_shape_that_is_not_the_weights_is_malformed() -> None:
    with pytest.raises(ModelError, match="weights of shape"):
        import_model(single(Case("Conv", LINES, [normal(4, 6, 3)], {"kernel_shape": [2]}), 11))
