"""Transpositions between views of planes: what becomes one rearrangement, and that it computes the same."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from codegen.graph import Graph
from codegen.onnx_import.reader import import_model
from codegen.operators.rearrange import Rearrange
from codegen.operators.transpose import Transpose
from codegen.passes.pipeline import optimize
from codegen.passes.view_transposition import separable
from codegen.reference import evaluate
from codegen.tensor import Shape


def network(view: Shape, order: list[int], result: Shape, shape: Shape = (1, 12, 4, 5)) -> Graph:
    nodes = [
        helper.make_node("Reshape", ["x", "view"], ["viewed"]),
        helper.make_node("Transpose", ["viewed"], ["moved"], perm=order),
        helper.make_node("Reshape", ["moved", "result"], ["y"]),
    ]
    sizes = {"view": view, "result": result}
    graph = helper.make_graph(
        nodes,
        "views",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, result)],
        [numpy_helper.from_array(np.array(value, np.int64), name) for name, value in sizes.items()],
    )
    return import_model(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]))


@pytest.mark.parametrize(
    ("view", "order", "result"),
    [
        ((1, 3, 4, 4, 5), [0, 2, 1, 3, 4], (1, 12, 4, 5)),
        ((1, 2, 2, 3, 4, 5), [0, 3, 4, 1, 5, 2], (1, 3, 8, 10)),
        ((1, 12, 2, 2, 5), [0, 3, 1, 2, 4], (1, 24, 2, 5)),
    ],
)
def test_one_rearrangement(view: Shape, order: list[int], result: Shape) -> None:
    imported = network(view, order, result)
    fused = optimize(imported)
    (node,) = fused.nodes
    assert isinstance(node.op, Rearrange)
    x = np.random.default_rng(0).standard_normal((1, 12, 4, 5)).astype(np.float32)
    np.testing.assert_array_equal(evaluate(fused, {"x": x})["y"], evaluate(imported, {"x": x})["y"])


def test_results_that_mix_axes_stay() -> None:
    fused = optimize(network((1, 12, 20), [0, 2, 1], (1, 16, 3, 5)))
    assert any(isinstance(node.op, Transpose) for node in fused.nodes)


def test_rows_stay() -> None:
    fused = optimize(network((12, 4, 5), [1, 0, 2], (4, 60)))
    assert any(isinstance(node.op, Transpose) for node in fused.nodes)


def test_places_that_do_not_add_up_are_none() -> None:
    assert separable(np.array([[0, 1], [2, 4]])) is None
