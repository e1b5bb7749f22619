"""A tiny model, alone and with a finished run; directories of runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.explorer.command_line import run
from tests.explorer.run_shapes import make_run, virtual_run
from tests.explorer.tiny import write_tiny_model

__all__ = ["finished", "make_run", "model", "virtual_run"]


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_tiny_model(tmp_path / "tiny.onnx")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the tiny model, its plan and its store."""
    directory = tmp_path_factory.mktemp("finished")
    assert run(write_tiny_model(directory / "tiny.onnx"), directory).exit_code == 0
    return directory
