from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from codegen.plan import read_plan
from tests.explorer.command_line import explore, run


def test_a_run_on_the_null_board_leaves_plan_bundle_and_summary(model: Path, tmp_path: Path) -> None:
    result = run(model, tmp_path)
    assert result.exit_code == 0, result.output
    assert "null board, no silicon" in result.output.splitlines()[0]
    assert "not checked" in result.output
    out = tmp_path / "out"
    for name in ("plan.json", "bundle/manifest.json", "table.txt"):
        assert (out / name).stat().st_size > 0
    assert not list(out.glob("*.png"))  # nobody asked for a figure
    summary = json.loads((out / "summary.json").read_text())
    assert {step["run_kind"] for step in summary["steps"]} == {"modelled"}
    assert summary["samples"]["measured now"] > 0


def test_the_second_run_measures_nothing_and_writes_the_same_plan(model: Path, tmp_path: Path) -> None:
    assert run(model, tmp_path).exit_code == 0
    first = (tmp_path / "out" / "plan.json").read_bytes()
    assert run(model, tmp_path).exit_code == 0
    assert (tmp_path / "out" / "plan.json").read_bytes() == first
    assert json.loads((tmp_path / "out" / "summary.json").read_text())["samples"]["measured now"] == 0


def test_a_plan_compiles_again_to_the_same_bundle(model: Path, tmp_path: Path) -> None:
    assert run(model, tmp_path).exit_code == 0
    plan = tmp_path / "out" / "plan.json"
    result = explore("compile", plan, "--model", model, "--out", tmp_path / "again")
    assert result.exit_code == 0, result.output
    for path in sorted((tmp_path / "again").iterdir()):
        assert path.read_bytes() == (tmp_path / "out" / "bundle" / path.name).read_bytes()


def test_an_interrupt_exits_with_130_and_says_how_to_go_on(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("explorer.pipeline.run.search", interrupted)
    result = run(model, tmp_path)
    assert result.exit_code == 130
    assert "the same command goes on" in result.stderr


def test_devices_and_algorithms() -> None:
    assert "pi-zero" in explore("devices").output
    assert "cpu_blocked_depthwise" in explore("algorithms").output


@pytest.mark.parametrize("words", [["--help"], ["run", "--help"]])
def test_help_is_there_before_any_heavy_package_is(words: list[str]) -> None:
    heavy = {
        "lightgbm",
        "matplotlib",
        "onnx",
        "onnxruntime",
        "optuna",
        "pandas",
        "paramiko",
        "scipy",
        "sqlalchemy",
    }
    code = (
        "import sys; from typer.testing import CliRunner; from explorer.cli import command_line\n"
        f"assert CliRunner().invoke(command_line(), {words!r}).exit_code == 0\n"
        f"print(sorted({heavy!r} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_replayed_run_finds_the_same_choices_and_appends_nothing(model: Path, tmp_path: Path) -> None:
    assert run(model, tmp_path).exit_code == 0
    recorded = read_plan(tmp_path / "out" / "plan.json")
    with sqlite3.connect(tmp_path / "samples.sqlite") as connection:
        before = connection.execute("select count(*) from samples").fetchone()
    result = run(model, tmp_path, "--board", "replay", "--overwrite")
    assert result.exit_code == 0, result.output
    assert read_plan(tmp_path / "out" / "plan.json").steps == recorded.steps
    with sqlite3.connect(tmp_path / "samples.sqlite") as connection:
        assert connection.execute("select count(*) from samples").fetchone() == before
