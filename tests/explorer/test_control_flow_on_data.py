"""If and Loop whose conditions are computed: compiled and run, against onnxruntime."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import GraphProto, NodeProto, TensorProto, helper, numpy_helper

from codegen.errors import NotConstantError, UnsupportedOperatorError
from codegen.lengths import Length
from codegen.onnx_import.reader import import_model
from tests.explorer.test_lengths import Arrays, check, model_of

X: Arrays = {"x": np.array([[1.0, -2.0], [0.5, 3.0]], np.float32)}
CONSTANTS: Arrays = {
    "level": np.array(1.0, np.float32),
    "half": np.array(0.5, np.float32),
    "eight": np.array(8),
    "many": np.array(2**40),
    "axes": np.array([0, 1]),
    "row": np.array([0]),
}
TEST = [
    helper.make_node("ReduceSum", ["x", "axes"], ["sum"], keepdims=0),
    helper.make_node("Greater", ["sum", "level"], ["is_large"]),
]


def graph_of(nodes: list[NodeProto], outputs: list[str], inputs: list[str] | None = None) -> GraphProto:
    names = [helper.make_empty_tensor_value_info(name) for name in outputs]
    given = [helper.make_empty_tensor_value_info(name) for name in inputs or []]
    return helper.make_graph(nodes, "part", given, names)


def branch(op_type: str, *more: str) -> GraphProto:
    return graph_of([helper.make_node(op_type, ["x", *more], ["z"])], ["z"])


def test_of_both_branches_one_is_selected() -> None:
    constant = helper.make_node(
        "Constant", [], ["z"], value=numpy_helper.from_array(np.ones((2, 2), np.float32))
    )
    inner = helper.make_node(
        "If", ["is_large"], ["z"], then_branch=branch("Exp"), else_branch=graph_of([constant], ["z"])
    )
    node = helper.make_node(
        "If", ["is_large"], ["y"], then_branch=graph_of([inner], ["z"]), else_branch=branch("Neg")
    )
    check(model_of([*TEST, node], X, ["y"], CONSTANTS), X, {"x": -X["x"]})


def test_of_branches_of_other_lengths_one_is_selected() -> None:
    node = helper.make_node(
        "If", ["is_large"], ["y"], then_branch=branch("Exp"), else_branch=branch("ReduceSum", "row")
    )
    assert check(model_of([*TEST, node], X, ["y"], CONSTANTS), X, {"x": -X["x"]}) == [(2, 2), (1, 2)]


def test_branches_of_other_shapes_are_refused() -> None:
    node = helper.make_node(
        "If", ["is_large"], ["y"], then_branch=branch("Exp"), else_branch=branch("ReduceSum", "axes")
    )
    with pytest.raises(NotConstantError, match=r"If_2.* shape \(2, 2\) or float32 of shape \(1, 1\)"):
        import_model(model_of([*TEST, node], X, ["y"], CONSTANTS))


def test_a_branch_that_does_not_fit_the_inputs_shapes_is_no_malformed_model() -> None:
    turned = graph_of([helper.make_node("Transpose", ["x"], ["z"], perm=[0, 2, 1])], ["z"])
    node = helper.make_node("If", ["is_large"], ["y"], then_branch=branch("Exp"), else_branch=turned)
    with pytest.raises(NotConstantError, match="its else_branch cannot be computed for") as caught:
        import_model(model_of([*TEST, node], X, ["y"], CONSTANTS))
    assert caught.value.sources == {"x"}
    assert "malformed" not in str(caught.value)


def test_what_a_branch_cannot_do_is_said_of_its_node() -> None:
    node = helper.make_node(
        "If", ["is_large"], ["y"], then_branch=branch("Exp"), else_branch=branch("TfIdfVectorizer")
    )
    with pytest.raises(UnsupportedOperatorError, match="operator TfIdfVectorizer is not supported"):
        import_model(model_of([*TEST, node], X, ["y"], CONSTANTS))


def halving(count: str) -> list[NodeProto]:
    """Halves until the sum is at most `level`; gives what is left, and all that there was."""
    body = graph_of(
        [
            helper.make_node("Mul", ["state", "half"], ["next"]),
            helper.make_node("ReduceSum", ["next", "axes"], ["of_next"], keepdims=0),
            helper.make_node("Greater", ["of_next", "level"], ["goes_on"]),
            helper.make_node("Identity", ["next"], ["scanned"]),
        ],
        ["goes_on", "next", "scanned"],
    )
    for name, element, shape in (
        ("turn", TensorProto.INT64, []),
        ("is_on", TensorProto.BOOL, []),
        ("state", TensorProto.FLOAT, [2, 2]),
    ):
        body.input.append(helper.make_tensor_value_info(name, element, shape))
    return [*TEST, helper.make_node("Loop", [count, "is_large", "x"], ["last", "all"], body=body)]


def test_a_loop_ends_where_data_say() -> None:
    model = model_of(halving("eight"), X, ["all", "last"], CONSTANTS)
    graph = import_model(model)
    assert graph.types["all"].shape == (8, 2, 2) and graph.lengths == {"all": Length(0, "all.length")}
    shapes = check(model, X, {"x": 10 * X["x"]}, {"x": 1000 * X["x"]}, {"x": -X["x"]})
    assert [shape[0] for shape in shapes] == [2, 5, 8, 0]


def test_a_loop_on_data_without_a_bound_is_refused() -> None:
    with pytest.raises(NotConstantError, match=r"Loop_2.*its count is not 4096 or less"):
        import_model(model_of(halving("many"), X, ["all", "last"], CONSTANTS))
