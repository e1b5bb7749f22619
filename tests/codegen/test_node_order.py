"""Nodes may stand in any order in a file: they are imported behind what they read."""

from __future__ import annotations

import itertools

import pytest
from onnx import NodeProto, TensorProto, helper

from codegen.errors import ModelError
from codegen.onnx_import.node import OnnxNode
from codegen.onnx_import.order import in_order
from codegen.onnx_import.reader import import_model
from tests.codegen.onnx_cases import compare, model_of, number

NODES = {
    "a": helper.make_node("Relu", ["x"], ["a"]),
    "b": helper.make_node("Neg", ["a"], ["b"]),
    "c": helper.make_node("Mul", ["a", "b"], ["c"]),
    "y": helper.make_node("Add", ["c", "k"], ["y"]),
}


def names(*protos: NodeProto) -> str:
    """The first outputs of nodes in their new order."""
    nodes = [OnnxNode.of(proto, str(index), 17) for index, proto in enumerate(protos)]
    return "".join(node.output for node in in_order(nodes))


@pytest.mark.parametrize("order", list(itertools.permutations("abcy")))
def test_every_order_is_the_same_network(order: tuple[str, ...]) -> None:
    compare(model_of([NODES[name] for name in order], (3,), {"k": number(0.5)}, 17), (3,))


def test_nodes_that_are_in_order_stay_as_they_are() -> None:
    other = helper.make_node("Exp", ["x"], ["o"])
    assert names(NODES["a"], other, NODES["b"], NODES["c"]) == "aobc"
    assert names(other, NODES["b"], NODES["a"]) == "oab"


def test_a_node_stands_behind_what_its_branches_read() -> None:
    branches = {
        f"{branch}_branch": helper.make_graph(
            [helper.make_node("Identity", ["b"], [branch])],
            branch,
            [],
            [helper.make_tensor_value_info(branch, TensorProto.FLOAT, None)],
        )
        for branch in ("then", "else")
    }
    assert names(helper.make_node("If", ["t"], ["z"], **branches), NODES["b"], NODES["a"]) == "abz"


def test_what_reads_a_cycle_is_malformed() -> None:
    cycle = [
        helper.make_node("Relu", ["b"], ["y"]),
        helper.make_node("Add", ["x", "b"], ["a"]),
        helper.make_node("Neg", ["a"], ["b"]),
    ]
    with pytest.raises(ModelError, match=r"part of a cycle, or computed behind one.* malformed"):
        import_model(model_of(cycle, (3,), {}, 17))
