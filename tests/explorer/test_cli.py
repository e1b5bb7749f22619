from __future__ import annotations

import errno
import json
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from codegen.plan import read_plan
from explorer.cli import app
from tests.explorer.tiny import write_tiny_model

RUNNER = CliRunner()


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_tiny_model(tmp_path / "tiny.onnx")


def explore(*arguments: str | Path) -> Result:
    return RUNNER.invoke(app, [str(argument) for argument in arguments])


def run(model: Path, directory: Path, *more: str | Path) -> Result:
    place = ("--store", directory / "samples.sqlite", "--out", directory / "out")
    return explore("run", "--board", "null", "--budget", "3", "--model", model, *place, *more)


def refused(result: Result, *texts: str) -> None:
    """The command ended with exit code 2, all of these texts on stderr, and no traceback."""
    assert result.exit_code == 2, result.output
    assert result.exception is None or isinstance(result.exception, SystemExit)
    assert "Traceback" not in result.output
    for text in texts:
        assert text in result.stderr


def test_a_run_on_the_null_board_leaves_plan_bundle_figures_and_summary(model: Path, tmp_path: Path) -> None:
    result = run(model, tmp_path)
    assert result.exit_code == 0, result.output
    assert "null board, no silicon" in result.output.splitlines()[0]
    assert "not checked" in result.output
    out = tmp_path / "out"
    for name in ("plan.json", "bundle/manifest.json", "layers.png", "table.txt"):
        assert (out / name).stat().st_size > 0
    assert not (out / "candidates.png").exists()  # nothing was timed that a model could be judged by
    summary = json.loads((out / "summary.json").read_text())
    assert {step["run_kind"] for step in summary["steps"]} == {"modelled"}
    assert summary["samples"]["measured now"] > 0


def test_the_second_run_measures_nothing_and_writes_the_same_plan(model: Path, tmp_path: Path) -> None:
    assert run(model, tmp_path).exit_code == 0
    first = (tmp_path / "out" / "plan.json").read_bytes()
    figures = (tmp_path / "out" / "layers.png").read_bytes()
    assert run(model, tmp_path).exit_code == 0
    assert (tmp_path / "out" / "plan.json").read_bytes() == first
    assert (tmp_path / "out" / "layers.png").read_bytes() == figures
    assert json.loads((tmp_path / "out" / "summary.json").read_text())["samples"]["measured now"] == 0


def test_a_plan_compiles_again_to_the_same_bundle(model: Path, tmp_path: Path) -> None:
    assert run(model, tmp_path).exit_code == 0
    plan = tmp_path / "out" / "plan.json"
    result = explore("compile", plan, "--model", model, "--out", tmp_path / "again")
    assert result.exit_code == 0, result.output
    for path in sorted((tmp_path / "again").iterdir()):
        assert path.read_bytes() == (tmp_path / "out" / "bundle" / path.name).read_bytes()


def test_a_plan_of_another_model_is_refused(model: Path, tmp_path: Path) -> None:
    assert run(model, tmp_path).exit_code == 0
    other = write_tiny_model(tmp_path / "other.onnx", seed=1)
    plan = tmp_path / "out" / "plan.json"
    refused(explore("compile", plan, "--model", other, "--out", tmp_path / "b"), "PlanError", "explore run")


def test_a_plan_that_is_none_is_refused(model: Path, tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    refused(explore("compile", path, "--model", model, "--out", tmp_path), "plan.json", "explore run")
    path.write_text("{")
    refused(explore("compile", path, "--model", model, "--out", tmp_path), "not JSON")


def test_an_unknown_device_lists_the_known_ones(model: Path, tmp_path: Path) -> None:
    refused(run(model, tmp_path, "--device", "pi-nine"), "'pi-nine'", "pi-zero", "host")


def test_an_unknown_board_lists_the_known_ones(model: Path, tmp_path: Path) -> None:
    refused(run(model, tmp_path, "--board", "skate"), "'skate'", "null")


def test_an_unknown_cost_model_lists_the_known_ones(model: Path, tmp_path: Path) -> None:
    refused(run(model, tmp_path, "--cost-model", "oracle"), "'oracle'", "residual")


@pytest.mark.parametrize("content", [b"", b"no model", None])
def test_a_file_that_is_no_model_is_refused(content: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "bad.onnx"
    if content is not None:
        path.write_bytes(content)
    refused(run(path, tmp_path), "ModelError", "bad.onnx")


def test_a_truncated_model_is_refused(model: Path, tmp_path: Path) -> None:
    path = tmp_path / "cut.onnx"
    path.write_bytes(model.read_bytes()[:-700])
    refused(run(path, tmp_path), "ModelError", "cut.onnx")


def test_an_unsupported_operator_is_named(tmp_path: Path) -> None:
    path = write_tiny_model(tmp_path / "odd.onnx", operator="Tan")
    refused(run(path, tmp_path), "UnsupportedOperatorError", "Tan", "activation")


def test_a_dynamic_shape_asks_for_one_and_takes_it(tmp_path: Path) -> None:
    path = write_tiny_model(tmp_path / "dynamic.onnx", side="size")
    refused(run(path, tmp_path), "DynamicShapeError", "--shape")
    assert run(path, tmp_path, "--shape", "x=1,3,8,8").exit_code == 0
    assert read_plan(tmp_path / "out" / "plan.json").inputs[0].shape == (1, 3, 8, 8)
    refused(run(path, tmp_path, "--shape", "x"), "UsageError", "--shape")


def test_a_store_of_another_version_is_refused_and_kept(model: Path, tmp_path: Path) -> None:
    assert run(model, tmp_path).exit_code == 0
    store = tmp_path / "samples.sqlite"
    with sqlite3.connect(store) as connection:
        connection.execute("update schema_version set version = 99")
        before = connection.execute("select count(*) from samples").fetchone()
    refused(run(model, tmp_path), "StoreError", "99", "--store")
    with sqlite3.connect(store) as connection:
        assert connection.execute("select count(*) from samples").fetchone() == before


def test_a_store_that_is_something_else_is_refused(model: Path, tmp_path: Path) -> None:
    (tmp_path / "samples.sqlite").write_text(
        "these are no samples, and long enough to be no database either\n" * 9
    )
    refused(run(model, tmp_path), "StoreError", "samples.sqlite")


def test_a_full_disk_is_reported(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "layers.png")

    monkeypatch.setattr("explorer.commands.write_figures", full)
    refused(run(model, tmp_path), "OutputError", "layers.png", "full")


def test_outputs_in_the_way_of_a_file_are_reported(model: Path, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file")
    refused(run(model, tmp_path), "out")


def test_an_interrupt_exits_with_130_and_says_how_to_go_on(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("explorer.pipeline.search", interrupted)
    result = run(model, tmp_path)
    assert result.exit_code == 130
    assert "the same command goes on" in result.stderr


def test_a_wrong_option_is_refused(tmp_path: Path) -> None:
    assert explore("run", "--budget", "0").exit_code == 2
    assert explore("run", "--no-such-option").exit_code == 2
    refused(run(tmp_path / "m.onnx", tmp_path, "--ssh-key", "key"), "--ssh-key")


def test_devices_algorithms_and_zoo(tmp_path: Path) -> None:
    assert "pi-zero" in explore("devices").output
    assert "cpu_depthwise" in explore("algorithms").output
    refused(explore("zoo", "no-such-network", "--out", tmp_path / "m.onnx"), "mobilenet_v1")


def test_the_command_line_starts_without_heavy_packages() -> None:
    heavy = {"lightgbm", "optuna", "onnxruntime", "matplotlib", "paramiko", "onnx", "sqlalchemy", "pandas"}
    code = f"import sys, explorer.cli; print(sorted({heavy!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_replayed_run_finds_the_same_choices_and_appends_nothing(model: Path, tmp_path: Path) -> None:
    assert run(model, tmp_path).exit_code == 0
    recorded = read_plan(tmp_path / "out" / "plan.json")
    with sqlite3.connect(tmp_path / "samples.sqlite") as connection:
        before = connection.execute("select count(*) from samples").fetchone()
    result = run(model, tmp_path, "--board", "replay")
    assert result.exit_code == 0, result.output
    assert read_plan(tmp_path / "out" / "plan.json").steps == recorded.steps
    with sqlite3.connect(tmp_path / "samples.sqlite") as connection:
        assert connection.execute("select count(*) from samples").fetchone() == before
