"""Deep networks: the work of importing, rewriting and chaining them grows with their layers, not with the square."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import pytest
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

import codegen
from codegen.chains import chain_nodes
from codegen.graph import Graph, Node
from codegen.onnx_import.reader import import_model
from codegen.operators.conv2d import Conv2d
from codegen.passes import optimize
from codegen.passes.rewrite import GraphEditor
from tests.codegen.chains import CONV, NORM, Step, graph_of
from tests.codegen.layers import sum_of_two

LAYERS = 50
CODEGEN = str(Path(codegen.__file__).parent)


def lines_run(work: Callable[[], object]) -> int:
    """How many lines of codegen run, each round of a loop or comprehension counted."""
    count, before = 0, sys.gettrace()

    def trace(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal count
        if not frame.f_code.co_filename.startswith(CODEGEN):
            return None
        count += event == "line"
        return trace

    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(before)
    return count


def is_linear(work: Callable[[int], Callable[[], object]]) -> bool:
    """Whether as much is added from twice to four times the layers as the layers tell, but for a twentieth."""
    once, twice, four_times = (lines_run(work(factor * LAYERS)) for factor in (1, 2, 4))
    assert twice - once >= LAYERS
    return four_times - twice <= 2.1 * (twice - once)


def triples(count: int) -> list[NodeProto]:
    nodes = []
    for index in range(count):
        conv, norm, relu = (f"{kind}{index}" for kind in ("conv", "norm", "relu"))
        nodes += [
            helper.make_node("Conv", [f"relu{index - 1}" if index else "x", "w"], [conv]),
            helper.make_node("BatchNormalization", [conv, "b", "b", "b", "b"], [norm]),
            helper.make_node("Relu", [norm], [relu]),
        ]
    return nodes


def row_of(op: str, *constants: str, **attributes: Any) -> Callable[[int], list[NodeProto]]:
    """One operator after the other; all nodes have the same name, as some exporters write them."""

    def nodes(count: int) -> list[NodeProto]:
        return [
            helper.make_node(
                op, [f"t{i - 1}" if i else "x", *constants], [f"t{i}"], name="same", **attributes
            )
            for i in range(count)
        ]

    return nodes


def branches_of(op: str, axis: int) -> Callable[[int], list[NodeProto]]:
    """One operator many times on the input, all of it joined along an axis."""

    def nodes(count: int) -> list[NodeProto]:
        names = [f"t{index}" for index in range(count)]
        branches = [helper.make_node(op, ["x"], [name]) for name in names]
        return [*branches, helper.make_node("Concat", names, ["y"], axis=axis)]

    return nodes


def long_sum(count: int) -> list[NodeProto]:
    return [helper.make_node("Sum", ["x"] * count, ["y"])]


def model_of(nodes: list[NodeProto]) -> ModelProto:
    ones = np.ones(2, dtype=np.float32)
    constants = {"w": np.ones((2, 2, 1, 1), dtype=np.float32), "b": ones, "p": np.array([0, 0, 0, 1] * 2)}
    graph = helper.make_graph(
        nodes,
        "deep",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, (1, 2, 2, 2))],
        [helper.make_tensor_value_info(nodes[-1].output[0], TensorProto.FLOAT, None)],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@pytest.mark.parametrize(
    ("nodes", "layers_left"),
    [
        pytest.param(triples, LAYERS, id="triples"),
        pytest.param(row_of("Relu"), 1, id="relus"),
        pytest.param(row_of("Identity"), 1, id="identities"),
        pytest.param(row_of("Softmax", axis=1), LAYERS, id="softmaxes"),
        pytest.param(row_of("Pad", "p"), 1, id="pads"),
        pytest.param(row_of("BatchNormalization", "b", "b", "b", "b"), 1, id="normalisations"),
        pytest.param(branches_of("Relu", 1), LAYERS + 1, id="relus-side-by-side"),
        pytest.param(branches_of("Identity", 1), 1, id="identities-side-by-side"),
        pytest.param(branches_of("Relu", 3), 2 * LAYERS + 2, id="views"),
        pytest.param(long_sum, LAYERS - 1, id="sum"),
    ],
)
def test_import_and_passes(nodes: Callable[[int], list[NodeProto]], layers_left: int) -> None:
    def work(count: int) -> Callable[[], Graph]:
        model = model_of(nodes(count))
        return lambda: optimize(import_model(model))

    assert len(work(LAYERS)().nodes) == layers_left
    assert is_linear(work)


def test_chains_of_layers() -> None:
    def work(count: int) -> Callable[[], object]:
        names = ["x", *(f"t{index}" for index in range(count - 1)), "y"]
        graph = graph_of([(CONV, names[i], names[i + 1], None) for i in range(count)])
        return lambda: chain_nodes(graph)

    assert is_linear(work)


# --- what is looked up stays what a search finds ----------------------------------------------------------

STEPS: list[Step] = [
    (CONV, "x", "a", None),
    (NORM, "a", "b", None),
    (sum_of_two(), ("b", "b"), "c", None),
    (sum_of_two(), ("a", "b"), "y", None),
]


def test_index_of_a_graph() -> None:
    graph = graph_of(STEPS)
    for tensor in (*graph.types, "unknown"):
        readers = tuple(node for node in graph.nodes if tensor in node.inputs)
        assert graph.consumers(tensor) == readers
        assert graph.producer(tensor) == next((node for node in graph.nodes if node.output == tensor), None)
    assert graph == graph_of(STEPS) and repr(graph) == repr(graph_of(STEPS))


def test_editor_keeps_order_and_index() -> None:
    editor = GraphEditor(graph_of(STEPS))
    first = Node("A", Conv2d((1, 1)), ("x",), ("half",))
    editor.substitute({"B": (), "A": (first, Node("end", CONV, ("half",), ("b",)))})
    editor.substitute(
        {"A": (Node("begin", NORM, ("x",), ("quarter",)), Node("A", CONV, ("quarter",), ("half",)))}
    )
    assert [node.name for node in editor.graph().nodes] == ["begin", "A", "end", "C", "Y"]
    assert [node.name for node in editor.consumers("x")] == ["begin"]
    assert sorted(node.name for node in editor.consumers("b")) == ["C", "Y"]
    assert editor.producer("half") == editor.node("A") and editor.producer("a") is None
    assert editor.is_read_once("quarter") and not editor.is_read_once("b") and not editor.is_read_once("y")


def test_editor_numbers_names_that_are_taken() -> None:
    editor = GraphEditor(graph_of(STEPS))
    assert editor.fresh_node("A") == "A_2" and editor.fresh_node("E") == "E"
    assert editor.fresh_tensor("x") == "x_2" and editor.fresh_tensor("a") == "a_2"
    editor.substitute({"B": ()})
    assert editor.fresh_node("B") == "B" and editor.fresh_tensor("b") == "b"
