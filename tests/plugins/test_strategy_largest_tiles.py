"""A package with a strategy: a search is made by it, and its reasons are recorded."""

from __future__ import annotations

import csv
from pathlib import Path

from tests.explorer.command_line import null_run
from tests.explorer.tiny import write_tiny_model
from tests.plugins.installed import explore_with, install


def test_a_search_is_made_by_it(tmp_path: Path) -> None:
    words = null_run(write_tiny_model(tmp_path / "tiny.onnx"), tmp_path, "--strategy", "largest_tiles")
    ended = explore_with(install("strategy_largest_tiles", tmp_path / "site"), *words, cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    with (tmp_path / "out" / "reasons.csv").open() as file:
        reasons = [row["reason"] for row in csv.DictReader(file)]
    assert len(reasons) > 5 and all(reason.startswith("a tile of ") for reason in reasons)


def test_without_the_package_there_is_none(tmp_path: Path) -> None:
    words = null_run(write_tiny_model(tmp_path / "tiny.onnx"), tmp_path, "--strategy", "largest_tiles")
    ended = explore_with(tmp_path / "nothing", *words, cwd=tmp_path)
    assert ended.returncode == 2 and "StrategyError" in ended.stderr
