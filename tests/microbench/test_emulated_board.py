"""The emulated board: real programs for AArch64 by a modelled clock, their outputs and what they take."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from codegen.bundle import compile_bundle
from codegen.program import CpuProgram
from codegen.reference import evaluate
from microbench.board import Board
from microbench.boards.emulated import EmulatedBoard
from microbench.emulation.core_model import load_core
from microbench.emulation.core_model_out_of_order import load_core_64
from microbench.errors import BoardError, CandidateError
from microbench.options import BoardOptions
from microbench.profile import load_profile
from microbench.registry import open_board
from tests.codegen.planned import plan_of, small_network
from tests.microbench.board_conformance import BoardConformance
from tests.microbench.measured import cpu_job, sound_cpu_job

pytestmark = pytest.mark.needs("instruction counting")


class TestEmulatedBoard(BoardConformance):
    kinds = frozenset({"simulated"})
    computes = frozenset({"cpu"})

    @pytest.fixture
    def board(self) -> Iterator[Board]:
        with open_board("pi-3-64") as board:
            assert isinstance(board, EmulatedBoard)
            yield board


@pytest.fixture
def board() -> Iterator[Board]:
    with open_board("pi-zero-2-64") as opened:
        yield opened


def test_a_time_is_the_same_every_time_and_on_every_board_of_the_profile(board: Board) -> None:
    first = board.measure(sound_cpu_job().job)
    with open_board("pi-zero-2-64") as other:
        assert other.measure(sound_cpu_job().job).times_s == first.times_s
        assert other.fingerprint() == board.fingerprint()


def test_a_faster_clock_takes_less_and_is_another_board(board: Board) -> None:
    job = cpu_job(elements=4096)
    with open_board("pi-3-64") as faster:
        ratio = board.measure(job).times_s[0] / faster.measure(job).times_s[0]
        assert faster.fingerprint() != board.fingerprint()
    assert 1.0 < ratio <= 1.21  # 1.2 GHz to 1.0 GHz, and memory that is as fast


def test_a_kernel_is_called_once_and_by_a_clock_that_stood_until_then(board: Board) -> None:
    job = cpu_job()
    assert isinstance(job.program, CpuProgram)
    source = job.program.source.replace("{", "{ static int calls; ++calls; ", 1).replace(
        "inputs[0][i] * weights[0]", "calls"
    )
    counting = dataclasses.replace(job, program=dataclasses.replace(job.program, source=source))
    measured = board.measure(counting)
    assert measured.output is not None and set(measured.output.tolist()) == {1.0}
    assert measured.times_s[0] < 2e-6  # 16 elements
    with open_board("host") as host:
        often = host.measure(counting)
    assert often.output is not None and often.output[0] > 1


def test_a_bundle_runs_with_the_time_of_each_step(board: Board, tmp_path: Path) -> None:
    graph = small_network()
    compile_bundle(graph, plan_of(graph), board.target, tmp_path / "bundle")
    source = np.random.default_rng(0).normal(size=graph.types["x"].shape).astype(np.float32)
    runs = [board.run_bundle(tmp_path / "bundle", (source.reshape(-1),)) for _ in range(2)]
    for output, expected in zip(runs[0].outputs, evaluate(graph, {"x": source}).values(), strict=True):
        assert np.abs(output - expected.reshape(-1)).max() <= 1e-5 * np.abs(expected).max()
    assert runs[0].times_s == runs[1].times_s
    assert runs[0].step_times_s == runs[1].step_times_s
    assert runs[0].kind == "simulated" and set(runs[0].step_kinds.values()) == {"simulated"}
    assert 0 < sum(runs[0].step_times_s.values()) <= runs[0].time_s * 1.01


def test_programs_have_as_many_threads_as_the_profile_has_cores(board: Board) -> None:
    assert board.target.cores == load_profile("pi-zero-2-64").cores == load_core("cortex-a53").cores == 4


def test_a_fault_of_a_kernel_is_the_candidates(board: Board) -> None:
    job = cpu_job()
    assert isinstance(job.program, CpuProgram)
    source = job.program.source.replace("{", "{ *(volatile int *)0 = 1; ", 1)
    with pytest.raises(CandidateError, match="died of SIGSEGV"):
        board.measure(dataclasses.replace(job, program=dataclasses.replace(job.program, source=source)))


def test_a_profile_without_a_modelled_core_is_refused() -> None:
    with pytest.raises(BoardError, match=r"host.*no modelled clock.*--ssh"):
        EmulatedBoard.open(load_profile("host"), BoardOptions())


class TestEmulatedOutOfOrderBoard(BoardConformance):
    kinds = frozenset({"simulated"})
    computes = frozenset({"cpu"})

    @pytest.fixture
    def board(self) -> Iterator[Board]:
        with open_board("pi-4") as board:
            assert isinstance(board, EmulatedBoard)
            assert board.target.cores == load_core_64("cortex-a72").judged_threads == 1  # of four
            assert f"clock model {load_core_64('cortex-a72').hash}" in board.fingerprint().software
            yield board


def test_an_out_of_order_core_takes_fewer_cycles() -> None:
    job = cpu_job(elements=4096)
    with open_board("pi-4") as board, open_board("pi-3-64") as in_order:
        first, again = board.measure(job), board.measure(job)
        ratio = first.times_s[0] / in_order.measure(job).times_s[0]
    assert first.times_s == again.times_s
    assert ratio * 1.5 / 1.2 < 1.0  # cycles: 1.5 GHz beside 1.2 GHz
