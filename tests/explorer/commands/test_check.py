from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper

from explorer.inspect.inspection import Size, inspect
from microbench.profile import DeviceProfile, load_profile
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


def size_of(path: Path, *profiles: DeviceProfile) -> Size:
    size = inspect(path, {}, profiles).size
    assert size is not None
    return size


def test_memory_that_every_plan_needs_and_what_the_qpus_have(tmp_path: Path) -> None:
    path = write_tiny_model(tmp_path / "tiny.onnx", channels=16, side=64)
    board = load_profile("pi-zero")
    size = size_of(path, board)
    (ample,) = size.times
    assert ample.launched_seconds > 0
    assert ample.gpu_memory_bytes == board.gpu_memory_bytes
    assert not ample.exceeds_gpu_memory
    assert size.weight_bytes <= size.least_bytes <= size.weight_bytes + size.peak_bytes
    small = board.model_copy(update={"gpu_memory_bytes": ample.launched_bytes - 1})
    assert size_of(path, small).times[0].exceeds_gpu_memory
    none = board.model_copy(update={"gpu_memory_bytes": 64})
    (without,) = size_of(path, none).times
    assert (without.launched_seconds, without.launched_bytes, without.missing) == (0, 0, ())
    assert "GPU memory" in explore("check", path, "--device", "pi-zero").stdout


def test_the_least_memory_is_that_of_the_widest_layer_with_what_waits(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("MaxPool", ["x"], ["a"], kernel_shape=[1, 1]),
        helper.make_node("Softmax", ["a"], ["b"], axis=1),
        helper.make_node("Softmax", ["b"], ["c"], axis=2),
        helper.make_node("Mul", ["c", "a"], ["y"]),
    ]
    shape = (1, 4, 8, 8)
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    one = 4 * 4 * 64
    assert (
        size_of(written(model, tmp_path / "net.onnx")).least_bytes == 3 * one
    )  # a waits for y while c is made of b
