"""A virtual Pi without its server: what holds for every board, and what it measures as one behind a server does."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from codegen.bundle import compile_bundle
from codegen.reference import evaluate
from microbench.board import Board
from microbench.boards.emulated_pi import EmulatedPiBoard
from microbench.boards.ssh import SshBoard
from microbench.boards.virtual import VirtualBoard
from microbench.options import BoardOptions
from microbench.profile import load_profile
from microbench.registry import open_board
from microbench.virtual_pi.server import VirtualPi
from tests.codegen.planned import qpu_plan, small_network
from tests.microbench.board_conformance import BoardConformance
from tests.microbench.gpu_jobs import sound_gpu_job
from tests.microbench.measured import SoundJob, sound_cpu_job

pytestmark = pytest.mark.needs("virtual pi")


class TestEmulatedPiBoard(BoardConformance):
    kinds = frozenset({"simulated"})
    computes = frozenset({"videocore4", "cpu"})

    @pytest.fixture
    def board(self) -> Iterator[Board]:
        with open_board("pi-zero", board="emulated") as opened:
            assert isinstance(opened, EmulatedPiBoard)
            yield opened

    @pytest.fixture
    def sound(self) -> tuple[SoundJob, ...]:
        return (sound_gpu_job(), sound_cpu_job())


@pytest.fixture
def board() -> Iterator[Board]:
    with open_board("pi-zero", board="emulated") as opened:
        yield opened


def test_qpus_are_those_of_the_virtual_board(board: Board) -> None:
    job = sound_gpu_job().job
    with VirtualBoard.open(board.profile, BoardOptions()) as virtual:
        assert board.measure(job).times_s == virtual.measure(job).times_s
        assert board.fingerprint() != virtual.fingerprint()


def test_programs_and_bundles_take_what_they_take_on_a_virtual_pi(board: Board, tmp_path: Path) -> None:
    graph, job = small_network(), sound_cpu_job().job
    compile_bundle(graph, qpu_plan(graph), board.target, tmp_path / "bundle")
    source = np.random.default_rng(1).normal(size=graph.types["x"].shape).astype(np.float32)
    runs = [board.run_bundle(tmp_path / "bundle", (source.reshape(-1),)) for _ in range(2)]
    with VirtualPi(load_profile("pi-zero")) as pi, SshBoard(pi.profile, pi.options()) as there:
        assert board.measure(job).times_s == there.measure(job).times_s
        runs.append(there.run_bundle(tmp_path / "bundle", (source.reshape(-1),)))
    for output, expected in zip(runs[0].outputs, evaluate(graph, {"x": source}).values(), strict=True):
        assert np.abs(output - expected.reshape(-1)).max() <= 1e-4 * np.abs(expected).max()
    assert runs[0].times_s == runs[1].times_s
    assert runs[0].time_s == pytest.approx(runs[2].time_s, rel=1e-3)


def test_its_files_go_with_it() -> None:
    with open_board("pi-zero", board="emulated") as opened:
        assert isinstance(opened, EmulatedPiBoard)
        place = opened.directory
        assert place.is_dir()
    assert not place.exists()
