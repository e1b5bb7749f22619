"""A simulator that stands for a board: its constants are its own, and it scatters and differs as it is told to."""

from __future__ import annotations

import statistics
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from codegen.bundle import compile_bundle
from microbench.board import Job
from microbench.boards.ssh import SshBoard
from microbench.boards.stand_in import BOARD_FILE, Habits
from microbench.boards.virtual import VirtualBoard
from microbench.errors import BoardError
from microbench.options import BoardOptions
from microbench.profile import DeviceProfile, load_profile
from tests.codegen.planned import qpu_plan, small_network
from tests.microbench.gpu_jobs import sound_gpu_job
from tests.microbench.loopback_sshd import LoopbackServer, sshd
from tests.microbench.stand_in import stand_in

__all__ = ["sshd"]

STOCK = load_profile("pi-zero")
TRUE = STOCK.with_v3d(clock_hz=300e6, vdw_row_cycles=14.0, sdram_latency_s=250e-9)


def times_s(profile: DeviceProfile, job: Job) -> tuple[float, ...]:
    with VirtualBoard.open(profile, BoardOptions()) as board:
        return board.measure(job).times_s


def test_its_times_are_those_of_its_own_constants_and_not_of_the_profile_here(
    sshd: LoopbackServer, tmp_path: Path
) -> None:
    job = sound_gpu_job().job
    with SshBoard(STOCK, stand_in(sshd, tmp_path / "there", TRUE)) as board:
        assert board.measure(job).times_s == times_s(TRUE, job) != times_s(STOCK, job)
        assert board.gpu_clock_hz == 300e6
        assert board.reads_clock
        assert board.kind_of("videocore4") == "simulated"


def test_a_bundle_takes_what_the_board_there_takes(sshd: LoopbackServer, tmp_path: Path) -> None:
    network = small_network()
    compile_bundle(network, qpu_plan(network), STOCK.target(), tmp_path / "bundle")
    inputs = (np.ones(network.types["x"].shape, np.float32),)
    with SshBoard(STOCK, stand_in(sshd, tmp_path / "there", TRUE)) as board:
        there = board.run_bundle(tmp_path / "bundle", inputs)
    with VirtualBoard.open(TRUE, BoardOptions()) as board:
        here = board.run_bundle(tmp_path / "bundle", inputs)
    assert set(there.times_s) == set(here.times_s)
    np.testing.assert_array_equal(there.outputs[0], here.outputs[0])


def test_two_boards_are_told_apart(sshd: LoopbackServer, tmp_path: Path) -> None:
    found = set()
    for place, true in (("a", TRUE), ("b", STOCK), ("c", TRUE)):
        with SshBoard(STOCK, stand_in(sshd, tmp_path / place, true)) as board:
            found.add(board.fingerprint().hash)
    assert len(found) == 2


def test_launches_scatter_as_much_as_they_are_told_to(sshd: LoopbackServer, tmp_path: Path) -> None:
    job = replace(sound_gpu_job().job, repeats=200)
    with SshBoard(STOCK, stand_in(sshd, tmp_path / "there", TRUE, Habits(launch_noise=0.02))) as board:
        scattered = board.measure(job).times_s
    (exact,) = set(times_s(TRUE, job))
    assert statistics.stdev(scattered) / exact == pytest.approx(0.02, rel=0.25)
    assert statistics.fmean(scattered) == pytest.approx(exact, rel=0.01)


@pytest.mark.parametrize(
    "content",
    [None, "clock_hz 250e6\n", "nonsense\n", "no_such_constant 1\n"],
    ids=["absent", "incomplete", "no number", "unknown"],
)
def test_a_file_that_describes_no_board_is_refused(
    sshd: LoopbackServer, tmp_path: Path, content: str | None
) -> None:
    options = stand_in(sshd, tmp_path / "there", TRUE)
    if content is None:
        (tmp_path / "there" / BOARD_FILE).unlink()
    else:
        (tmp_path / "there" / BOARD_FILE).write_text(content)
    with pytest.raises(BoardError, match=BOARD_FILE):
        SshBoard(STOCK, options)
