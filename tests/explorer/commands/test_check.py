from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper

from explorer.inspect.inspection import inspect
from microbench.profile import load_profile
from tests.explorer.command_line import explore, refused
from tests.explorer.tiny import write_tiny_model


def written(model: ModelProto, path: Path) -> Path:
    path.write_bytes(model.SerializeToString())
    return path


def unsupported() -> ModelProto:
    nodes = [
        helper.make_node("ImageDecoder", ["x"], ["a"], name="decoder"),
        helper.make_node("Multinomial", ["a"], ["y"], name="draw"),
    ]
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("x", TensorProto.UINT8, (9,))],
        [helper.make_tensor_value_info("y", TensorProto.INT32, None)],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)


def test_everything_that_is_not_supported_in_one_table(tmp_path: Path) -> None:
    result = explore("check", written(unsupported(), tmp_path / "net.onnx"), "--device", "host")
    assert result.exit_code == 1
    for text in ("decoder", "draw", "explore operators", "ImageDecoder 1", "Multinomial 1"):
        assert text in result.stdout


def test_as_json(tmp_path: Path) -> None:
    result = explore("check", written(unsupported(), tmp_path / "net.onnx"), "--device", "host", "--json")
    found = json.loads(result.stdout)
    assert [one["error"] for one in found["obstacles"]] == ["UnsupportedOperatorError"] * 2
    assert all(one["remedy"] and "node" in one["reason"] for one in found["obstacles"])
    assert found["size"] is None


def test_size_and_times_of_a_network(tmp_path: Path) -> None:
    path = write_tiny_model(tmp_path / "tiny.onnx")
    result = explore("check", path, "--device", "host", "--device", "pi-zero", "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert [time["device"] for time in found["size"]["times"]] == ["host", "pi-zero"]
    assert all(time["seconds"] > 0 and not time["missing"] for time in found["size"]["times"])
    assert found["size"]["times"][0]["launched_seconds"] == 0
    assert "multiply-adds" in explore("check", path, "--device", "host").stdout


def test_arithmetic_and_memory_are_what_the_shapes_say(tmp_path: Path) -> None:
    weights = np.ones((4, 3, 3, 3), dtype=np.float32)
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["a"], pads=[1, 1, 1, 1]),
        helper.make_node("GlobalAveragePool", ["a"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, (1, 3, 8, 8))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(weights, "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    size = inspect(written(model, tmp_path / "net.onnx"), {}, [load_profile("host")]).size
    assert size is not None
    assert size.macs == 8 * 8 * 4 * 27
    assert size.peak_bytes == 4 * (3 * 64 + 4 * 64)
    assert size.weights in (4 * 27, 4 * 27 + 4)  # a bias of zeros may come along


@pytest.mark.parametrize("content", [b"", b"no model"])
def test_no_model(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "net.onnx"
    path.write_bytes(content)
    refused(explore("check", path), "net.onnx: is no ONNX model")
