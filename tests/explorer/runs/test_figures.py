from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from explorer.runs.data import RunData, open_run
from explorer.runs.figures import figures, remove_figures


@pytest.fixture
def run(virtual_run: Path, tmp_path: Path) -> RunData:
    shutil.copytree(virtual_run, tmp_path / "run", ignore=shutil.ignore_patterns("bundle", "*.png"))
    return open_run(tmp_path / "run")


def test_figures_are_drawn_once_and_alike(run: RunData) -> None:
    drawn = figures(run)
    assert {name: path.name for name, path in drawn.items()} == {
        "layers": "layers.png",
        "candidates": "candidates.png",
    }
    first = {name: path.read_bytes() for name, path in drawn.items()}
    assert all(content.startswith(b"\x89PNG") for content in first.values())
    drawn["layers"].write_bytes(b"kept")
    assert figures(run)["layers"].read_bytes() == b"kept"
    remove_figures(run.directory)
    assert not list(run.directory.glob("*.png"))
    assert {name: path.read_bytes() for name, path in figures(run).items()} == first


def test_names_with_dollars_and_backslashes_are_drawn_as_they_are(run: RunData) -> None:
    assert run.report is not None
    step = replace(run.report.steps[0], name="$\\frac{a$")
    named = replace(run.report, model="$\\x{$", steps=(step, *run.report.steps[1:]))
    drawn = figures(RunData(run.directory, run.plan, named))
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in drawn.values())


def test_a_plan_alone_has_no_figures(run: RunData) -> None:
    assert figures(RunData(run.directory, run.plan, None)) == {}
