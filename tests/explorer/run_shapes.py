"""A run of a tiny network on the virtual board, made once, and directories of every shape that a report meets."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.explorer.command_line import explore
from tests.explorer.tiny import write_tiny_model

FRONT = """plan,latency_s,peak_memory_bytes,gpu_memory_bytes,cpu_time_s,energy_j,kind,energy_kind
plan-1,0.010,90000,80000,0.001,0.010,simulated,modelled
plan-2,0.012,50000,40000,0.002,0.009,simulated,modelled
plan-3,0.300,40000,0,0.300,0.360,modelled,modelled
"""
SHAPES: dict[str, tuple[str, ...]] = {
    "run": ("plan.json", "summary.json", "samples.csv", "reasons.csv", "counters.csv", "run.json"),
    "plan only": ("plan.json",),
    "front": (
        "plan.json",
        "summary.json",
        "samples.csv",
        "reasons.csv",
        "counters.csv",
        "run.json",
        "front.csv",
    ),
}

MakeRun = Callable[..., Path]


@pytest.fixture(scope="session")
def virtual_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a run of a tiny network; not to be written to."""
    directory = tmp_path_factory.mktemp("run")
    model = write_tiny_model(directory / "tiny.onnx", side=48, channels=64)
    arguments: list[str | Path] = [
        "run",
        "--device",
        "pi-zero",
        "--layer-budget",
        "3",
        "--robust",
        "--model",
        model,
    ]
    arguments += ["--store", directory / "samples.sqlite", "--out", directory / "tiny-pi-zero"]
    result = explore(*arguments)
    assert result.exit_code == 0, result.output
    (directory / "tiny-pi-zero" / "front.csv").write_text(FRONT, encoding="utf-8")
    return directory / "tiny-pi-zero"


@pytest.fixture
def make_run(virtual_run: Path, tmp_path: Path) -> MakeRun:
    """Makes a fresh directory, `name`, with the files of one of `SHAPES`."""

    def make(shape: str = "run", name: str = "copy") -> Path:
        directory = tmp_path / name
        directory.mkdir()
        for file in SHAPES[shape]:
            shutil.copy(virtual_run / file, directory / file)
        return directory

    return make
