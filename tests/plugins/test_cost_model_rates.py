"""A package with a cost model: it keeps what every cost model keeps, and a search is made with it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from microbench.profile import load_profile
from tests.cost_models.conformance import CostModelConformance, Factory
from tests.explorer.command_line import null_run
from tests.explorer.tiny import write_tiny_model
from tests.plugins.installed import PLUGINS, explore_with, install


class TestRates(CostModelConformance):
    @pytest.fixture
    def make_model(self, monkeypatch: pytest.MonkeyPatch) -> Factory:
        monkeypatch.syspath_prepend(PLUGINS / "cost_model_rates")
        from cost_model_rates import RatesModel

        return lambda: RatesModel(load_profile("pi-zero"))


def test_a_search_is_made_with_it(tmp_path: Path) -> None:
    words = null_run(write_tiny_model(tmp_path / "tiny.onnx"), tmp_path, "--cost-model", "rates")
    ended = explore_with(install("cost_model_rates", tmp_path / "site"), *words, cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    command = json.loads((tmp_path / "out" / "run.json").read_text())["command"]
    assert command[command.index("--cost-model") + 1] == "rates"


def test_without_the_package_there_is_none(tmp_path: Path) -> None:
    words = null_run(write_tiny_model(tmp_path / "tiny.onnx"), tmp_path, "--cost-model", "rates")
    ended = explore_with(tmp_path / "nothing", *words, cwd=tmp_path)
    assert ended.returncode == 2 and "CostModelError" in ended.stderr
