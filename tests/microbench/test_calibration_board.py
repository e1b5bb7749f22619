"""The suite on a board over SSH: the times of the board there, kept as they come, so that nothing is lost with it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from codegen.program import GpuProgram
from microbench.boards.ssh import SshBoard
from microbench.calibration.board import measure_gpu
from microbench.calibration.measurements import (
    MOST_LAUNCHES,
    Circumstances,
    MeasurementsFile,
    SuiteTimes,
    measure_suite,
    repeats_within,
)
from microbench.errors import BoardError, CalibrationError, CalibrationInterruptedError, HazardError
from microbench.profile import load_profile
from microbench.suite.gpu import BoardShape
from microbench.suite.runner import Effort, InMemory, measure
from microbench.suite.suite import suite
from microbench.virtual import VirtualV3D
from tests.microbench.loopback_sshd import LoopbackServer, sshd
from tests.microbench.stand_in import stand_in

__all__ = ["sshd"]

STOCK = load_profile("pi-zero")
TRUE = STOCK.with_v3d(clock_hz=300e6, vdw_row_cycles=14.0, tmu_queue_depth=3)
SHAPE = BoardShape.of(STOCK)
HERE = Circumstances("a board", "direct", SHAPE, 1)


@dataclass
class FailingGpu:
    """A virtual board that counts launches, and is lost, or stops a program, at some."""

    gpu: InMemory
    lost_at: int = -1
    stopped_at: int = -1
    requests: int = 0

    def times_s(self, program: GpuProgram, repeats: int) -> tuple[float, ...]:
        self.requests += 1
        if self.requests == self.lost_at:
            raise BoardError("the board is gone")
        if self.requests == self.stopped_at:
            raise HazardError("the launch did not end")
        return self.gpu.times_s(program, repeats)


@pytest.fixture
def gpu() -> Iterator[InMemory]:
    with VirtualV3D(STOCK) as gpu:
        yield InMemory(gpu, 1 << 22)


def measured(gpu: InMemory, path: Path, lost_at: int = -1, stopped_at: int = -1) -> tuple[SuiteTimes, int]:
    failing = FailingGpu(gpu, lost_at, stopped_at)
    return measure_suite(failing, MeasurementsFile(path, HERE)), failing.requests


def test_over_ssh_the_suite_sees_the_board_there(sshd: LoopbackServer, tmp_path: Path) -> None:
    with SshBoard(STOCK, stand_in(sshd, tmp_path / "there", TRUE)) as board:
        found = measure_gpu(board, tmp_path / "kept.jsonl", Effort(), lambda done, of, name: None)
    assert found.shape == BoardShape.of(TRUE)
    assert found.times.depth == 3
    with VirtualV3D(TRUE) as gpu:
        assert found.times.times_s == measure(gpu, suite(found.shape, 3))


def test_what_was_measured_before_the_board_was_lost_is_not_measured_again(
    gpu: InMemory, tmp_path: Path
) -> None:
    whole, requests = measured(gpu, tmp_path / "whole.jsonl")
    path = tmp_path / "kept.jsonl"
    with pytest.raises(CalibrationInterruptedError, match=r"gone.*kept in .*kept\.jsonl.*goes on"):
        measured(gpu, path, lost_at=101)
    with path.open("a") as file:
        file.write('{"name": "torn')
    again, rest = measured(gpu, path)
    assert again.times_s == whole.times_s
    assert requests - 101 <= rest <= requests - 98  # the benchmark that was lost has two requests
    assert measured(gpu, path) == (again, 0)


def test_a_program_that_the_board_stops_has_no_time_and_ends_nothing(gpu: InMemory, tmp_path: Path) -> None:
    found, _ = measured(gpu, tmp_path / "kept.jsonl", stopped_at=50)
    assert list(found.failed.values()) == ["the launch did not end"]
    assert len(found.times_s) == len(suite(SHAPE, found.depth)) - 1


def test_a_board_from_which_nothing_comes_back_is_refused(gpu: InMemory, tmp_path: Path) -> None:
    with pytest.raises(CalibrationError, match="no launch comes back"):
        measured(gpu, tmp_path / "kept.jsonl", stopped_at=1)


def test_time_is_limited(gpu: InMemory, tmp_path: Path) -> None:
    with pytest.raises(CalibrationInterruptedError, match=r"0 of .* goes on"):
        measure_suite(gpu, MeasurementsFile(tmp_path / "kept.jsonl", HERE), most_s=0.0)


@pytest.mark.parametrize(
    "other",
    [
        replace(HERE, board="another"),
        replace(HERE, shape=replace(SHAPE, clock_hz=1.0)),
        replace(HERE, rounds_factor=2),
    ],
)
def test_measurements_of_other_circumstances_are_refused(
    gpu: InMemory, tmp_path: Path, other: Circumstances
) -> None:
    MeasurementsFile(tmp_path / "kept.jsonl", HERE)
    with pytest.raises(CalibrationError, match=r"other circumstances.*--measurements"):
        MeasurementsFile(tmp_path / "kept.jsonl", other)


@pytest.mark.parametrize("content", ["no json\n", "[1]\n", '{"format": 0}\n'])
def test_a_file_that_holds_something_else_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "kept.jsonl"
    path.write_text(content)
    with pytest.raises(CalibrationError, match="--measurements"):
        MeasurementsFile(path, HERE)
    assert path.read_text() == content


def test_a_benchmark_that_was_changed_since_is_measured_again(gpu: InMemory, tmp_path: Path) -> None:
    path = tmp_path / "kept.jsonl"
    whole, _ = measured(gpu, path)
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    lines[-1]["content"] = "older"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert measured(gpu, path) == (whole, 2)


@pytest.mark.parametrize("wished", [1, 4, 1000])
def test_no_family_is_launched_more_often_than_allowed(wished: int) -> None:
    benchmarks = suite(SHAPE, 4)
    launches = Counter[str]()
    for benchmark in benchmarks:
        repeats = repeats_within(benchmarks, wished)[benchmark.family]
        assert 1 <= repeats <= wished
        launches[benchmark.family] += repeats * (1 if benchmark.rounds is None else 2)
    assert max(launches.values()) <= MOST_LAUNCHES
    assert wished < 1000 or min(launches.values()) > MOST_LAUNCHES / 2
