"""The whole road on the in-process virtual board: search, one launch, run, comparison with onnxruntime."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from codegen.engine_registry import engine_named
from codegen.plan import read_plan
from explorer.studies.qpu_profile import profile_plan
from microbench.profile import load_profile
from tests.explorer.command_line import explore
from tests.explorer.tiny import write_tiny_model


def test_a_network_runs_on_the_virtual_board_and_agrees_with_onnxruntime(tmp_path: Path) -> None:
    model = write_tiny_model(tmp_path / "tiny.onnx", side=48, channels=64)
    arguments: list[str | Path] = ["run", "--device", "pi-zero", "--layer-budget", "2", "--model", model]
    arguments += ["--store", tmp_path / "samples.sqlite", "--out", tmp_path / "out"]
    first = explore(*arguments)
    assert first.exit_code == 0, first.output
    assert "in-process virtual board, no silicon" in first.output.splitlines()[0]
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert summary["launches"] == 1
    assert summary["check"]["kind"] == "simulated"
    assert summary["check"]["largest_error"] <= engine_named("videocore4").tolerance
    assert summary["check"]["time_s"] == pytest.approx(summary["expected_s"], rel=0.1)
    engines = {step.choice.engine for step in read_plan(tmp_path / "out" / "plan.json").steps}
    assert "videocore4" in engines
    plan = (tmp_path / "out" / "plan.json").read_bytes()
    again = explore(*arguments)
    assert again.exit_code == 0, again.output
    assert (tmp_path / "out" / "plan.json").read_bytes() == plan
    assert json.loads((tmp_path / "out" / "summary.json").read_text())["samples"]["measured now"] == 0


def test_a_layer_may_be_forced_to_the_qpus(tmp_path: Path) -> None:
    """There is no plan for the CPU alone then, and nothing to compare with."""
    model = write_tiny_model(tmp_path / "tiny.onnx", side=48, channels=64)
    place = ("--store", tmp_path / "samples.sqlite", "--out", tmp_path / "out")
    forced = ("--force", "second=qpu_pointwise_relayed", "--layer-budget", "2")
    result = explore("run", "--model", model, *place, *forced)
    assert result.exit_code == 0, result.output
    plan = read_plan(tmp_path / "out" / "plan.json")
    assert plan.cpu_only_predicted_s is None
    (second,) = (step for step in plan.steps if step.name == "second")
    assert second.choice.algorithm == "qpu_pointwise_relayed"
    assert "CPU-only plan" not in result.stdout


def test_a_share_of_peak_counts_what_direct_convolution_multiplies_whatever_the_algorithm(
    tmp_path: Path,
) -> None:
    """As `explore bench qpu` counts it. Winograd's kernels multiply less than half as much."""
    weights = numpy_helper.from_array(
        np.random.default_rng(0).standard_normal((32, 32, 3, 3), np.float32), "w"
    )
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 32, 28, 28]) for name in "xy")
    node = helper.make_node("Conv", ["x", "w"], ["y"], "conv", pads=[1, 1, 1, 1])
    model = tmp_path / "conv.onnx"
    graph = helper.make_graph([node], "conv", [x], [y], [weights])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), model)
    place = ("--store", tmp_path / "samples.sqlite", "--out", tmp_path / "out", "--layer-budget", "2")
    run = explore(
        "run", "--device", "pi-zero", "--model", model, "--force", "conv=qpu_winograd_channels", *place
    )
    assert run.exit_code == 0, run.output
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert summary["macs"] == 32 * 32 * 28 * 28 * 9
    assert summary["peak_share"] == pytest.approx(2 * summary["macs"] / summary["time_s"] / 24e9)
    profile = profile_plan(read_plan(tmp_path / "out" / "plan.json"), load_profile("pi-zero"))
    arithmetic_s = sum(layer.arithmetic_s for layer in profile.layers)
    assert arithmetic_s / summary["time_s"] == pytest.approx(summary["peak_share"])
