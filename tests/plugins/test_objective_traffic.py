"""A package with an objective: plans can be searched for by its price."""

from __future__ import annotations

from pathlib import Path

from codegen.plan import Plan, read_plan
from tests.explorer.command_line import null_run
from tests.explorer.tiny import write_tiny_model
from tests.plugins.installed import explore_with, install


def planned(directory: Path, site: Path, *more: str) -> Plan:
    directory.mkdir()
    words = null_run(write_tiny_model(directory / "tiny.onnx", side=64), directory, *more)
    ended = explore_with(site, *words, cwd=directory)
    assert ended.returncode == 0, ended.stderr
    return read_plan(directory / "out" / "plan.json")


def test_a_price_for_it_changes_the_plan(tmp_path: Path) -> None:
    site = install("objective_traffic", tmp_path / "site")
    fastest = planned(tmp_path / "fastest", site)
    priced = planned(tmp_path / "priced", site, "--price", "traffic=1")  # a second for each byte
    assert priced.predicted_s > fastest.predicted_s
    assert [step.choice for step in priced.steps] != [step.choice for step in fastest.steps]


def test_without_the_package_nothing_of_that_name_can_be_priced(tmp_path: Path) -> None:
    words = null_run(write_tiny_model(tmp_path / "tiny.onnx"), tmp_path, "--price", "traffic=1")
    ended = explore_with(tmp_path / "nothing", *words, cwd=tmp_path)
    assert ended.returncode == 2 and "'traffic' can be priced" in ended.stderr
