"""Tensors without elements: they are known before the network runs, whoever gives or writes them."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import NodeProto, helper

from codegen.errors import UnsupportedOperatorError
from codegen.onnx_import.reader import import_model
from explorer.backend import prepare
from tests.explorer.test_lengths import Arrays, check, model_of

FLAGS = ("-O1",)
X: Arrays = {"x": np.arange(12, dtype=np.float32).reshape(3, 4)}


@pytest.mark.parametrize(
    ("nodes", "constants", "outputs"),
    [
        (
            [helper.make_node("Split", ["x", "sizes"], ["a", "b", "c"], axis=1)],
            {"sizes": np.array([1, 0, 3])},
            ["a", "b", "c"],
        ),
        (
            [
                helper.make_node("Slice", ["x", "four", "four"], ["none"]),
                helper.make_node("Neg", ["x"], ["y"]),
            ],
            {"four": np.array([4])},
            ["none", "y"],
        ),
        (
            [
                helper.make_node("Slice", ["x", "four", "four"], ["none"]),
                helper.make_node("Exp", ["none"], ["still"]),
                helper.make_node("Concat", ["x", "still"], ["y"], axis=0),
            ],
            {"four": np.array([4])},
            ["y"],
        ),
        (
            [
                helper.make_node("MatMul", ["wide", "high"], ["zeros"]),
                helper.make_node("Add", ["x", "zeros"], ["y"]),
            ],
            {"wide": np.zeros((3, 0), np.float32), "high": np.zeros((0, 4), np.float32)},
            ["y"],
        ),
    ],
    ids=["parts", "an output", "a part of a whole", "a product"],
)
def test_they_give_what_onnxruntime_gives(
    nodes: list[NodeProto], constants: Arrays, outputs: list[str]
) -> None:
    check(model_of(nodes, X, outputs, constants), X)


def test_an_empty_input_is_a_constant() -> None:
    inputs = {"x": np.zeros((2, 0, 3), np.float32)}
    node = helper.make_node("ReduceProd", ["x", "one"], ["y"])
    prepared = prepare(model_of([node], inputs, ["y"], {"one": np.array([1])}), flags=FLAGS)
    (found,) = prepared.run(inputs)
    assert np.array_equal(found, np.ones((2, 1, 3)))
    assert prepared.compiled is not None and not prepared.compiled.computes


def test_a_reader_that_would_compute_with_none_is_refused() -> None:
    node = helper.make_node("ScatterND", ["x", "places", "rows"], ["y"])
    constants: Arrays = {"places": np.zeros((0, 1), np.int64), "rows": np.zeros((0, 4), np.float32)}
    with pytest.raises(UnsupportedOperatorError, match=r"node 'ScatterND_0'.* which is empty; export"):
        import_model(model_of([node], X, ["y"], constants))
