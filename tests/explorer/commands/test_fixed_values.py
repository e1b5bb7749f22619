"""`--value` of `explore check` and `explore run`."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from codegen.plan import read_plan
from tests.explorer.command_line import explore

X = np.linspace(-1, 1, 4 * 6 * 6, dtype=np.float32).reshape(1, 4, 6, 6)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A convolution, padded by as much as an input says and times another."""
    infos = [
        helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 4, 6, 6]),
        helper.make_tensor_value_info("margin", TensorProto.INT64, [8]),
        helper.make_tensor_value_info("gain", TensorProto.FLOAT, []),
    ]
    nodes = [
        helper.make_node("Pad", ["x", "margin"], ["padded"]),
        helper.make_node("Conv", ["padded", "w"], ["c"], "conv"),
        helper.make_node("Mul", ["c", "gain"], ["y"]),
    ]
    weights = np.random.default_rng(0).standard_normal((3, 4, 3, 3), np.float32)
    out = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 3, "h", "w"])
    graph = helper.make_graph(nodes, "gained", infos, [out], [numpy_helper.from_array(weights, "w")])
    path = tmp_path / "net.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)
    return path


MARGIN = "margin=0,0,1,1,0,0,1,1"


def test_a_check_judges_the_network_with_its_constants(model: Path) -> None:
    open_ = explore("check", model, "--device", "pi-zero", "--json")
    assert json.loads(open_.stdout)["obstacles"]
    fixed = explore("check", model, "--device", "pi-zero", "--json", "--value", MARGIN)
    assert fixed.exit_code == 0, fixed.output
    found = json.loads(fixed.stdout)
    assert not found["obstacles"] and found["size"]["macs"] == 3 * 6 * 6 * 4 * 9


def test_a_run_compiles_the_constants_in_and_keeps_the_model_with_them(model: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    arguments = ("--value", MARGIN, "--value", "gain=2.5", "--layer-budget", "1")
    place = ("--store", tmp_path / "samples.sqlite", "--out", out)
    run = explore("run", "--device", "host", "--model", model, *arguments, *place)
    assert run.exit_code == 0, run.output
    assert [tensor.name for tensor in read_plan(out / "plan.json").inputs] == ["x"]
    again = json.loads((out / "run.json").read_text())
    assert f"--value gain=2.5 --value {MARGIN}" in " ".join(again["command"])
    np.save(tmp_path / "x.npy", X)
    heard = explore("infer", out, "--input", tmp_path / "x.npy", "--out", tmp_path / "heard")
    assert heard.exit_code == 0, heard.output
    session = onnxruntime.InferenceSession(model)
    margin = np.array([0, 0, 1, 1, 0, 0, 1, 1])
    (wanted,) = session.run(None, {"x": X, "margin": margin, "gain": np.array(2.5, np.float32)})
    found = np.load(tmp_path / "heard" / "y.npy")
    np.testing.assert_allclose(found.reshape(wanted.shape), wanted, rtol=1e-4, atol=1e-4)
    compiled = explore(
        "compile", out / "plan.json", "--model", out / "model.onnx", "--out", tmp_path / "bundle"
    )
    assert compiled.exit_code == 0, compiled.output


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("gain", "malformed"),
        ("gain=", "malformed"),
        ("gian=1", "no input 'gian'"),
        ("gain=loud", "cannot take 'loud'"),
        ("margin=1,1", "cannot take 2 elements; give 8"),
    ],
)
@pytest.mark.parametrize("command", ["check", "run"])
def test_values_that_do_not_fit_are_errors(
    model: Path, tmp_path: Path, command: str, text: str, message: str
) -> None:
    place = ("--store", tmp_path / "samples.sqlite", "--out", tmp_path / "out") if command == "run" else ()
    result = explore(command, model, "--device", "pi-zero", "--value", text, *place)
    assert result.exit_code == 2
    assert message in " ".join(result.output.split())
    assert "Traceback" not in result.output
