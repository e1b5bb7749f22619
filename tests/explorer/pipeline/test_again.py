"""A run is made again from exactly the samples that it learned from and took, from an exported store too."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

from microbench.store import Store
from tests.explorer.command_line import explore, refused
from tests.explorer.tiny import write_tiny_model


def run(directory: Path, channels: int, *more: str | Path) -> Result:
    model = write_tiny_model(directory / f"tiny{channels}.onnx", side=16, channels=channels)
    store = () if "--store" in more else ("--store", directory / "samples.sqlite")
    arguments = ("run", "--device", "pi-zero", "--layer-budget", "1", "--model", model, *store)
    return explore(*arguments, *more)


def plan(directory: Path) -> list[dict[str, Any]]:
    steps: list[dict[str, Any]] = json.loads((directory / "plan.json").read_text())["steps"]
    return [{name: value for name, value in step.items() if name != "sample_ids"} for step in steps]


def contents(directory: Path) -> dict[str, list[str]]:
    found: dict[str, list[str]] = json.loads((directory / "run.json").read_text())["samples"]
    return found


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with two runs from one store, and a third after them from which neither learned."""
    directory = tmp_path_factory.mktemp("runs")
    for channels in (16, 32, 48):
        result = run(directory, channels, "--out", directory / f"run{channels}")
        assert result.exit_code == 0, result.output
    return directory


def test_the_same_samples_and_the_same_plan_though_the_store_has_grown(runs: Path) -> None:
    again = explore(
        *("run", "--again", runs / "run32", "--model", runs / "tiny32.onnx"),
        *("--store", runs / "samples.sqlite"),
    )
    assert again.exit_code == 0, again.output
    assert contents(runs / "run32")["prior"] and contents(runs / "run32")["measured"]
    assert contents(runs / "run32-again") == contents(runs / "run32")
    assert (runs / "run32-again" / "plan.json").read_text() == (runs / "run32" / "plan.json").read_text()


def test_from_an_exported_store(runs: Path, tmp_path: Path) -> None:
    exported = tmp_path / "samples.csv"
    assert explore("samples", "export", exported, "--store", runs / "samples.sqlite").exit_code == 0
    other = tmp_path / "other.sqlite"
    with Store.open(other):
        pass
    place = ("--store", other, "--model", runs / "tiny32.onnx", "--out", tmp_path / "again")
    refused(explore("run", "--again", runs / "run32", *place), "lacks", "--from")
    again = explore("run", "--again", runs / "run32", *place, "--from", exported)
    assert again.exit_code == 0, again.output
    assert contents(tmp_path / "again") == contents(runs / "run32")
    assert plan(tmp_path / "again") == plan(runs / "run32")


def test_a_run_begins_with_the_samples_of_others(runs: Path, tmp_path: Path) -> None:
    exported = tmp_path / "samples.csv"
    assert explore("samples", "export", exported, "--store", runs / "samples.sqlite").exit_code == 0
    place = ("--store", tmp_path / "new.sqlite", "--out", tmp_path / "out", "--from", exported)
    result = run(tmp_path, 64, *place)
    assert result.exit_code == 0, result.output
    assert len(contents(tmp_path / "out")["prior"]) > len(contents(runs / "run32")["prior"])


def test_samples_of_another_class_of_boards_or_of_no_schema_are_refused(runs: Path, tmp_path: Path) -> None:
    exported = tmp_path / "samples.csv"
    place = ("--store", runs / "samples.sqlite", "--kind", "modelled")
    assert explore("samples", "export", exported, *place).exit_code == 0
    begin = ("--device", "host", "--store", tmp_path / "new.sqlite", "--out", tmp_path / "out", "--from")
    refused(run(tmp_path, 16, *begin, exported), "class of host", "modelled")
    (tmp_path / "table.csv").write_text("a,b\n1,2\n")
    refused(run(tmp_path, 16, *begin, tmp_path / "table.csv"), "table.csv")


def test_a_directory_without_a_run_and_a_model_that_is_elsewhere(runs: Path, tmp_path: Path) -> None:
    refused(explore("run", "--again", tmp_path), "run.json")
    refused(explore("run", "--again", runs / "run16", "--store", runs / "samples.sqlite"), "--model")
