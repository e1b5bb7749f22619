"""Convolutions over (N, C, L): imported as ones over planes of a single row, against onnxruntime."""

from __future__ import annotations

from typing import Any

import pytest
from onnx import helper

from codegen.errors import ModelError
from codegen.onnx_import.reader import import_model
from codegen.operators.conv2d import Conv2d
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
