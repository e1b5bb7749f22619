"""`explore run --weights`: layers store their weights narrow, outputs are right for these, what it costs is told."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from codegen.plan import read_plan
from codegen.stored_weights import weight_type
from explorer.errors import UsageError
from explorer.settings import RunSettings
from tests.explorer.command_line import explore
from tests.explorer.tiny import write_tiny_model


def test_weights_are_rounded_where_it_is_asked_for(tmp_path: Path) -> None:
    model = write_tiny_model(tmp_path / "tiny.onnx", side=48, channels=64)
    forced = ("--force", "classifier=qpu_fully_connected", "--layer-budget", "2")
    place = ("--store", tmp_path / "samples.sqlite", "--out", tmp_path / "out")
    result = explore("run", "--model", model, *place, *forced, "--weights", "float16")
    assert result.exit_code == 0, result.output
    assert "rounded weights cost" in result.output
    plan = read_plan(tmp_path / "out" / "plan.json")
    assert plan.weights == "float16"
    kinds = {step.name: weight_type(step.choice) for step in plan.steps}
    assert kinds["classifier"] == "float16"
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    check = summary["check"]
    assert check["largest_error"] < 1e-5 < check["accuracy"]["largest_error"] < 1e-3
    assert check["accuracy"]["same_top1"] == check["inputs"]
    command = json.loads((tmp_path / "out" / "run.json").read_text())["command"]
    assert command[command.index("--weights") + 1] == "float16"
    other = next(name for name, kind in kinds.items() if kind == "float32" and name in ("first", "second"))
    told = explore("explain", tmp_path / "out", other)
    assert "stay float32" in told.output


def test_the_cpu_s_weights_are_rounded_too(tmp_path: Path) -> None:
    model = write_tiny_model(tmp_path / "tiny.onnx", side=48, channels=64)
    place = ("--store", tmp_path / "samples.sqlite", "--out", tmp_path / "out", "--device", "host")
    force = ("--force", "classifier=cpu_blocked_fully_connected:weights=bfloat16", "--layer-budget", "2")
    result = explore("run", "--model", model, *place, *force, "--weights", "bfloat16")
    assert result.exit_code == 0, result.output
    assert "rounded weights cost" in result.output
    plan = read_plan(tmp_path / "out" / "plan.json")
    assert plan.weights == "bfloat16"
    assert "bfloat16" in {weight_type(step.choice) for step in plan.steps}
    check = json.loads((tmp_path / "out" / "summary.json").read_text())["check"]
    assert check["largest_error"] < 1e-5 < check["accuracy"]["largest_error"] < 1e-2
    again = explore("compile", tmp_path / "out" / "plan.json", "--model", model, "--out", tmp_path / "again")
    assert again.exit_code == 0, again.output
    bundles = (tmp_path / "out" / "bundle", tmp_path / "again")
    first, second = ((bundle / "weights.bin").read_bytes() for bundle in bundles)
    assert first == second


def test_an_unknown_type_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="float16, int8 or bfloat16"):
        RunSettings(weights="float8")  # type: ignore[arg-type]
    result = explore("run", "--weights", "half", "--out", tmp_path / "out")
    assert result.exit_code == 2
    assert "--weights" in result.output
