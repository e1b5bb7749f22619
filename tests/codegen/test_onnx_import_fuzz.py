"""Bytes of a valid model, changed at random: it is imported, or refused by the project's own errors."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from codegen.errors import ModelError
from codegen.onnx_import.reader import load_graph
from codegen.passes import optimize
from tests.random_graphs.judge import judged_change


@cache
def valid_bytes() -> bytes:
    ones = np.ones(2, dtype=np.float32)
    constants = {
        "w": np.ones((2, 3, 2, 2), dtype=np.float32),
        "b": ones,
        "six": np.array(6, dtype=np.float32),
        "to": np.array([0, -1]),
        "pads": np.array([0, 0, 0, 1, 0, 0, 1, 0]),
        "matrix": np.ones((4, 3), dtype=np.float32),
        "half": np.array([0.5], dtype=np.float32),
    }
    nodes = [
        helper.make_node(
            "Conv", ["x", "w", "b"], ["a"], name="conv", pads=[1, 1, 0, 0], strides=[2, 2], auto_pad="NOTSET"
        ),
        helper.make_node("BatchNormalization", ["a", "b", "b", "b", "b"], ["n"], epsilon=1e-3),
        helper.make_node("Clip", ["n", "", "six"], ["c"]),
        helper.make_node("Pad", ["c", "pads"], ["d"]),
        helper.make_node("MaxPool", ["d"], ["m"], kernel_shape=[2, 2], ceil_mode=1),
        helper.make_node("Constant", [], ["two"], value_float=2.0),
        helper.make_node("Mul", ["half", "two"], ["one"]),
        helper.make_node("Add", ["m", "one"], ["s"]),
        helper.make_node("Concat", ["s", "m"], ["j"], axis=1),
        helper.make_node("Min", ["j", "six"], ["i"]),
        helper.make_node("Add", ["i", "j"], ["t"]),
        helper.make_node("Transpose", ["t"], ["l"], perm=[0, 2, 3, 1]),
        helper.make_node("ReduceMean", ["l"], ["g"], axes=[1, 2], keepdims=0),
        helper.make_node("Reshape", ["g", "to"], ["r"]),
        helper.make_node("Gemm", ["r", "matrix"], ["f"], alpha=0.5),
        helper.make_node("Softmax", ["f"], ["y"], axis=-1),
    ]
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, (1, 3, 6, 6))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, (1, 3))],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    return helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8
    ).SerializeToString()


def import_bytes(path: Path, data: bytes) -> None:
    path.write_bytes(data)
    try:
        graph = load_graph(path)
    except ModelError as error:
        assert str(path) in str(error)
    else:
        with np.errstate(all="ignore"):
            optimize(graph)


def test_unchanged_model_is_imported(tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    path.write_bytes(valid_bytes())
    assert len(optimize(load_graph(path)).nodes) == 10


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_changed_bytes(tmp_path: Path, data: st.DataObject) -> None:
    content = bytearray(valid_bytes())
    places = st.integers(0, len(content) - 1)
    for place, value in data.draw(st.lists(st.tuples(places, st.integers(0, 255)), min_size=1, max_size=4)):
        content[place] = value
    end = data.draw(st.one_of(st.just(len(content)), places))
    import_bytes(tmp_path / "net.onnx", bytes(content[:end]))


@pytest.mark.parametrize("bit", range(8))
def test_every_flip_of_one_bit(tmp_path: Path, bit: int) -> None:
    for place in range(len(valid_bytes())):
        content = bytearray(valid_bytes())
        content[place] ^= 1 << bit
        import_bytes(tmp_path / "net.onnx", bytes(content))


@pytest.mark.parametrize("number", [5598, 7393, 11918])
def test_changed_models_that_once_crashed_are_refused(number: int) -> None:
    """Indices that are no integers, an axis of millions of sums, a condition that is no row."""
    assert judged_change(number).verdict in ("refused", "declined")
