"""ONNX's backend interface: nodes and models run, inputs that decide shapes are taken as constants."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import ModelProto, TensorProto, helper

from codegen.errors import NotConstantError, TensorError
from explorer.backend import prepare, run_node, supports_device
from explorer.errors import SearchError, UsageError

FLAGS = ("-O1",)


def reshaping() -> ModelProto:
    graph = helper.make_graph(
        [helper.make_node("Reshape", ["x", "shape"], ["y"])],
        "reshaping",
        [
            helper.make_tensor_value_info("x", TensorProto.INT16, [2, 3]),
            helper.make_tensor_value_info("shape", TensorProto.INT64, ["rank"]),
        ],
        [helper.make_tensor_value_info("y", TensorProto.INT16, None)],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)])


def test_a_node_runs_on_integers() -> None:
    node = helper.make_node("BitShift", ["x", "y"], ["z"], direction="LEFT")
    x, y = np.array([1, 3, 200], np.uint8), np.array([1, 2, 8], np.uint8)
    (z,) = run_node(node, [x, y], flags=FLAGS, opset_version=20)
    assert z.dtype == np.uint8 and z.tolist() == [2, 12, 0]


def test_a_shape_that_is_an_input_is_taken_as_a_constant_until_it_changes() -> None:
    prepared = prepare(reshaping(), flags=FLAGS)
    x = np.arange(6, dtype=np.int16).reshape(2, 3)
    first = prepared.run([x, np.array([3, 2])])
    compiled = prepared.compiled
    assert np.array_equal(first[0], x.reshape(3, 2)) and first[0].dtype == np.int16
    assert compiled is not None and set(compiled.bound) == {"shape"}
    prepared.run([2 * x, np.array([3, 2])])
    assert prepared.compiled is compiled
    assert prepared.run([x, np.array([6])])[0].shape == (6,)
    assert prepared.compiled is not compiled


def test_a_large_tensor_is_never_taken_as_a_constant() -> None:
    node = helper.make_node("Reshape", ["x", "shape"], ["y"])
    with pytest.raises(NotConstantError, match="shape"):
        run_node(
            node, [np.ones((2, 2), np.float32), np.ones((2, 2), np.int64)], flags=FLAGS, opset_version=20
        )


def test_the_qpus_of_a_virtual_board_run_what_they_can_and_nothing_else_does() -> None:
    x = np.random.default_rng(3).standard_normal((1, 5, 4, 6)).astype(np.float32)
    node = helper.make_node("DepthToSpace", ["x"], ["y"], blocksize=2)
    planes = np.concatenate([x] * 4, axis=1)
    (y,) = run_node(node, [planes], device="VIDEOCORE4", opset_version=20)
    np.testing.assert_array_equal(
        y, planes.reshape(1, 2, 2, 5, 4, 6).transpose(0, 3, 4, 1, 5, 2).reshape(y.shape)
    )
    with pytest.raises(SearchError, match="no algorithm of videocore4 computes"):
        run_node(helper.make_node("Sin", ["x"], ["y"]), [x], device="VIDEOCORE4", opset_version=20)


def test_other_devices_and_inputs_are_refused() -> None:
    assert supports_device("CPU") and not supports_device("CUDA")
    with pytest.raises(UsageError, match="CUDA"):
        prepare(reshaping(), "CUDA")
    with pytest.raises(TensorError, match="has the inputs x, shape"):
        prepare(reshaping()).run([np.zeros((2, 3), np.int16)])
