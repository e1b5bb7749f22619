"""The whole road on the in-process virtual board: search, one launch, run, comparison with onnxruntime."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from codegen.engine_registry import engine_named
from codegen.plan import read_plan
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
