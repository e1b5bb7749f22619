"""The whole road on this machine's CPU: search, bundle, run, comparison with onnxruntime."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from codegen.engine_registry import engine_named
from explorer.measure.judge import relative_error
from tests.explorer.command_line import explore
from tests.explorer.tiny import write_tiny_model


def run_on_host(directory: Path, model: Path) -> tuple[int, str]:
    arguments: list[str | Path] = ["run", "--device", "host", "--layer-budget", "2", "--model", model]
    arguments += ["--store", directory / "samples.sqlite", "--out", directory / "out"]
    result = explore(*arguments)
    return result.exit_code, result.output


def test_a_network_runs_on_the_host_and_agrees_with_onnxruntime(tmp_path: Path) -> None:
    model = write_tiny_model(tmp_path / "tiny.onnx")
    code, output = run_on_host(tmp_path, model)
    assert code == 0, output
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert summary["check"]["kind"] == "host"
    assert summary["check"]["largest_error"] <= engine_named("cpu").tolerance
    assert summary["check"]["same_top5"]
    assert all(step["run_s"] is not None for step in summary["steps"])
    assert summary["noise_floor"] >= 0
    assert "noise floor" in output
    plan = (tmp_path / "out" / "plan.json").read_bytes()
    assert run_on_host(tmp_path, model)[0] == 0
    assert (tmp_path / "out" / "plan.json").read_bytes() == plan


def test_a_wrong_bundle_ends_with_exit_code_1_and_keeps_the_results(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("explorer.plans.check.relative_error", lambda *values: 0.5 + relative_error(*values))
    code, output = run_on_host(tmp_path, write_tiny_model(tmp_path / "tiny.onnx"))
    assert code == 1
    assert "CheckFailedError" in output and "Traceback" not in output
    assert (tmp_path / "out" / "summary.json").is_file()
