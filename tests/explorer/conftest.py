"""A tiny model, alone and with a finished run; directories of runs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.explorer.command_line import run
from tests.explorer.run_shapes import make_run, virtual_run
from tests.explorer.tiny import write_tiny_model

__all__ = ["finished", "make_run", "model", "virtual_run"]


@pytest.fixture(scope="session", autouse=True)
def no_boards_configured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Whoever runs the tests may have named boards of their own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CONFIG_HOME", str(tmp_path_factory.mktemp("config")))
        yield


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_tiny_model(tmp_path / "tiny.onnx")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the tiny model, its plan and its store."""
    directory = tmp_path_factory.mktemp("finished")
    assert run(write_tiny_model(directory / "tiny.onnx"), directory).exit_code == 0
    return directory
