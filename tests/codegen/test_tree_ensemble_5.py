"""Trees of version 5 of the classical operator set, beside onnxruntime and by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper

from codegen.errors import ExploreError, ModelError, UnsupportedOperatorError
from codegen.onnx_import.reader import import_model
from codegen.passes import optimize
from codegen.reference import evaluate
from explorer.backend import CompilerBackend

NAN = float("nan")
X = np.array([[1.2, 3.4], [-0.2, 1.0], [0.5, NAN], [3.0, -4.0], [2.5, 0.0]], np.float32)


def model_of(**changed: Any) -> ModelProto:
    """A tree of three conditions, the first by membership, and one of a single leaf."""
    given: dict[str, Any] = {
        "tree_roots": [0, 3],
        "nodes_featureids": [0, 0, 1, 0],
        "nodes_modes": np.array([0, 2, 5, 0], np.uint8),
        "nodes_splits": np.array([2.0, 0.5, 1.0, 0.0], np.float32),
        "nodes_truenodeids": [1, 0, 2, 4],
        "nodes_trueleafs": [0, 1, 1, 1],
        "nodes_falsenodeids": [2, 1, 3, 4],
        "nodes_falseleafs": [0, 1, 1, 1],
        "nodes_missing_value_tracks_true": [0, 0, 1, 0],
        "leaf_targetids": [0, 1, 0, 1, 0],
        "leaf_weights": np.array([5.0, -2.0, 0.25, 7.0, 0.5], np.float32),
        "n_targets": 2,
        **changed,
    }
    attributes = {
        name: numpy_helper.from_array(value) if isinstance(value, np.ndarray) else value
        for name, value in given.items()
    }
    node = helper.make_node("TreeEnsemble", ["x"], ["y"], domain="ai.onnx.ml", **attributes)
    graph = helper.make_graph(
        [node],
        "trees",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, X.shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
    )
    sets = [helper.make_opsetid("", 21), helper.make_opsetid("ai.onnx.ml", 5)]
    return helper.make_model(graph, opset_imports=sets, ir_version=10)


def results(model: ModelProto) -> list[np.ndarray]:
    """The float64 meaning, and what is compiled."""
    meant = evaluate(optimize(import_model(model)), {"x": X})["y"]
    return [np.asarray(meant), CompilerBackend.prepare(model, flags=("-O1",)).run({"x": X})[0]]


@pytest.mark.parametrize("transform", [0, 1, 2, 3])
def test_leaves_are_found_and_transformed(transform: int) -> None:
    model = model_of(post_transform=transform)
    # By hand: rows 0 to 2 take condition 1, rows 3 and 4 condition 2, where what is missing would be met.
    sums = np.array([[5.5, 0], [0.5, -2], [5.5, 0], [0.75, 0], [0.75, 0]])
    powers = np.exp(sums - sums.max(1, keepdims=True))
    kept = np.where(sums == 0, 0, powers)
    wanted = {
        0: sums,
        1: powers / powers.sum(1, keepdims=True),
        2: 1 / (1 + np.exp(-sums)),
        3: kept / kept.sum(1, keepdims=True),
    }
    for found in results(model):
        np.testing.assert_allclose(found, wanted[transform], rtol=1e-5, atol=1e-6)


def test_members_of_sets_are_met() -> None:
    changed = {
        "nodes_modes": np.array([6, 2, 6, 0], np.uint8),
        "membership_values": np.array([3.0, 7.0, NAN, -4.0, 1.0, NAN], np.float32),
    }
    model = model_of(**changed)
    wanted = onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"x": X})[0]
    assert len(np.unique(wanted, axis=0)) > 2
    for found in results(model):
        np.testing.assert_allclose(found, wanted, rtol=1e-6)


@pytest.mark.parametrize(("aggregate", "pick"), [(0, np.mean), (2, np.min), (3, np.max)])
def test_trees_are_put_together(aggregate: int, pick: Any) -> None:
    model = model_of(aggregate_function=aggregate, n_targets=1, leaf_targetids=[0] * 5)
    first = np.array([5.0, -2.0, 5.0, 0.25, 0.25])
    for found in results(model):
        np.testing.assert_allclose(found[:, 0], pick(np.stack([first, np.full(5, 0.5)]), 0))


@pytest.mark.parametrize(
    ("changed", "error", "said"),
    [
        ({"nodes_truenodeids": [0, 0, 2, 4]}, ModelError, "no trees"),
        ({"nodes_falsenodeids": [2, 9, 3, 4]}, ModelError, "lead nowhere"),
        ({"leaf_targetids": [0, 1, 0, 1]}, ModelError, "not equally long"),
        ({"leaf_targetids": [0, 1, 0, 1, 2]}, ModelError, "output 2 of 2"),
        ({"tree_roots": [7]}, ModelError, "begin at"),
        ({"nodes_modes": np.array([0, 9, 0, 0], np.uint8)}, ModelError, "modes"),
        ({"nodes_modes": np.array([6, 0, 0, 0], np.uint8)}, ModelError, "0 sets for 1 nodes"),
        ({"aggregate_function": 7}, ModelError, "aggregate_function is 7"),
        ({"post_transform": 4}, UnsupportedOperatorError, "PROBIT"),
    ],
)
def test_what_is_no_forest_is_refused(changed: dict[str, Any], error: type[ExploreError], said: str) -> None:
    with pytest.raises(error, match=said):
        import_model(model_of(**changed))
