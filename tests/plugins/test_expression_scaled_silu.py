"""A package with one line of the table of elementwise operators: the network that needs it runs and computes it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from codegen.errors import UnsupportedOperatorError
from codegen.onnx_import.reader import load_graph
from tests.explorer.tiny import write_tiny_model
from tests.plugins.installed import explore_with, install


@pytest.fixture
def words(tmp_path: Path) -> tuple[str | Path, ...]:
    model = write_tiny_model(
        tmp_path / "gated.onnx", operator="com.microsoft.ScaledSiLU", side=48, channels=64
    )
    places = ("--store", tmp_path / "samples.sqlite", "--out", tmp_path / "out")
    return ("run", "--device", "pi-zero", "--model", model, "--layer-budget", "1", *places)


def test_a_line_from_a_package_is_searched_compiled_and_checked(
    tmp_path: Path, words: tuple[str | Path, ...]
) -> None:
    ended = explore_with(install("expression_scaled_silu", tmp_path / "site"), *words, cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    check = json.loads((tmp_path / "out" / "summary.json").read_text())["check"]
    assert check["largest_error"] <= check["tolerance"] and check["kind"] == "simulated"
    assert '"exp"' in (tmp_path / "out" / "plan.json").read_text()


def test_without_the_package_the_operator_is_not_supported(
    tmp_path: Path, words: tuple[str | Path, ...]
) -> None:
    ended = explore_with(tmp_path / "nothing", *words, cwd=tmp_path)
    assert ended.returncode == 2
    assert "UnsupportedOperatorError" in ended.stderr and "'com.microsoft'" in ended.stderr
    with pytest.raises(UnsupportedOperatorError):
        load_graph(tmp_path / "gated.onnx")
