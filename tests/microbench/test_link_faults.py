"""Faults of the link, the runner and the kernels: what the user sees, that no measurement is lost, that it goes on."""

from __future__ import annotations

import dataclasses
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from microbench.board import Job
from microbench.boards.host import HostBoard
from microbench.boards.ssh import SshBoard
from microbench.boards.ssh_runner import pauses
from microbench.errors import BoardError, CandidateError
from microbench.options import SshOptions
from microbench.profile import load_profile
from microbench.runner.client import BoardBusyError, ConnectionLostError
from tests.microbench.gpu_jobs import sound_gpu_job
from tests.microbench.link_proxy import LinkProxy
from tests.microbench.loopback_sshd import LoopbackServer, sshd
from tests.microbench.measured import SoundJob, sound_cpu_job

__all__ = ["sshd"]


@pytest.fixture
def proxy(sshd: LoopbackServer) -> Iterator[LinkProxy]:
    with LinkProxy(sshd.port) as proxy:
        yield proxy


@pytest.fixture
def options(sshd: LoopbackServer, proxy: LinkProxy, tmp_path: Path) -> SshOptions:
    known = sshd.known_hosts_for(proxy.port, tmp_path / "known")
    return sshd.options(tmp_path / "there", port=proxy.port, known_hosts_path=known)


@pytest.fixture
def cpu() -> SoundJob:
    return sound_cpu_job()


def host_board(options: SshOptions) -> SshBoard:
    return SshBoard(load_profile("host"), options)


def runner_pid(options: SshOptions) -> int:
    return int((Path(options.remote_directory) / "lock").read_text().split()[0])


def changed(job: Job, statement: str, includes: str = "") -> Job:
    """The same job, its kernel doing something else first."""
    assert job.program.kind == "cpu" and "(void)workspace;" in job.program.source
    source = includes + job.program.source.replace("(void)workspace;", statement)
    return dataclasses.replace(job, program=dataclasses.replace(job.program, source=source))


def check(board: SshBoard, sound: SoundJob) -> None:
    """The board measures soundly: a whole measurement, with the output that a sound kernel gives."""
    measured = board.measure(sound.job)
    assert len(measured.times_s) == sound.job.repeats
    assert measured.output is not None
    np.testing.assert_allclose(measured.output, sound.expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("fault", "bytes_sent"), [("cut", 1), ("reset", 2000), ("cut", 5000), ("reset", 30000), ("cut", 400000)]
)
def test_a_connection_lost_at_any_step_loses_nothing(
    proxy: LinkProxy, options: SshOptions, cpu: SoundJob, fault: str, bytes_sent: int
) -> None:
    proxy.after(bytes_sent, fault)
    try:
        board = host_board(options)
    except ConnectionLostError as lost:  # at the very start the user is told, for the place may be wrong
        assert f"127.0.0.1:{proxy.port}" in str(lost) and "check" in str(lost)
        board = host_board(options)
    with board:
        check(board, cpu)
        proxy.after(100, fault)
        check(board, cpu)
    assert proxy.connections >= 2


def test_a_board_that_stays_away_is_named_and_its_return_is_enough(
    proxy: LinkProxy, options: SshOptions, cpu: SoundJob
) -> None:
    with host_board(dataclasses.replace(options, reconnect_s=1.0)) as board:
        check(board, cpu)
        proxy.refuse()
        proxy.cut()
        with pytest.raises(ConnectionLostError, match=rf"127\.0\.0\.1:{proxy.port}.*run again"):
            board.measure(cpu.job)
        assert proxy.connections > 2  # it was tried more than once
        proxy.admit()
        check(board, cpu)


def test_a_link_frozen_for_a_while_is_noticed_and_made_anew(
    proxy: LinkProxy, options: SshOptions, cpu: SoundJob
) -> None:
    """The runner left behind may still hold the board: it is this host's own, and gives way."""
    with host_board(dataclasses.replace(options, silence_s=0.4)) as board:
        check(board, cpu)
        lost = runner_pid(options)
        proxy.freeze()
        thaw = threading.Timer(1.0, proxy.thaw)
        thaw.start()
        check(board, cpu)
        thaw.join()
        assert runner_pid(options) != lost


def test_a_killed_runner_is_started_again(options: SshOptions, cpu: SoundJob) -> None:
    with host_board(options) as board:
        check(board, cpu)
        os.kill(runner_pid(options), signal.SIGKILL)
        check(board, cpu)


def test_a_candidate_that_ends_the_runner_each_time_is_told_from_a_bad_link(
    options: SshOptions, cpu: SoundJob
) -> None:
    ends = changed(
        cpu.job, "kill(getppid(), SIGKILL); sleep(2);", "#include <signal.h>\n#include <unistd.h>\n"
    )
    with host_board(options) as board:
        with pytest.raises(CandidateError, match="each of 3 times"):
            board.measure(ends)
        check(board, cpu)


def test_another_host_is_told_who_works_here_and_takes_nothing_away(
    options: SshOptions, cpu: SoundJob
) -> None:
    with host_board(options) as board:
        told = (
            rf"process {runner_pid(options)} there serves another host \(\S+@\S+ process {os.getpid()} .*wait"
        )
        with pytest.raises(BoardBusyError, match=told):
            host_board(options)
        check(board, cpu)
    with host_board(options) as next_one:
        check(next_one, cpu)


def test_a_board_taken_by_another_host_meanwhile_is_not_fought_over(
    sshd: LoopbackServer, proxy: LinkProxy, options: SshOptions, cpu: SoundJob
) -> None:
    directly = dataclasses.replace(options, port=sshd.port, known_hosts_path=sshd.known_hosts)
    with host_board(options) as board:
        proxy.refuse()
        proxy.cut()
        with host_board(directly) as other:
            proxy.admit()
            with pytest.raises(BoardBusyError, match="another host"):
                board.measure(cpu.job)
            check(other, cpu)


@pytest.mark.parametrize(
    ("statement", "complaint"),
    [("for (volatile int i = 0;;) (void)i;", "did not end within"), ("__builtin_trap();", "died of SIG")],
)
def test_a_kernel_that_hangs_or_crashes_is_its_own_fault(
    options: SshOptions, cpu: SoundJob, statement: str, complaint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with host_board(options) as board:
        monkeypatch.setattr(HostBoard, "candidate_limit_s", 0.5)
        with pytest.raises(CandidateError, match=complaint):
            board.measure(changed(cpu.job, statement))
        monkeypatch.undo()
        check(board, cpu)


def test_a_simulated_gpu_says_the_same_after_a_lost_connection(proxy: LinkProxy, options: SshOptions) -> None:
    sound = sound_gpu_job()
    with SshBoard(load_profile("pi-zero"), options) as board:
        before = board.measure(sound.job)
        proxy.reset()
        after = board.measure(sound.job)
        assert (after.times_s, dict(after.counters)) == (before.times_s, dict(before.counters))
        assert (after.output == before.output).all()  # type: ignore[union-attr]


def test_a_closed_board_stays_closed(options: SshOptions, proxy: LinkProxy, cpu: SoundJob) -> None:
    board = host_board(options)
    board.close()
    before = proxy.connections
    with pytest.raises(BoardError, match="open the board again"):
        board.measure(cpu.job)
    assert proxy.connections == before


def test_pauses_grow_up_to_a_limit() -> None:
    taken = [pause_s for pause_s, _ in zip(pauses(), range(12), strict=False)]
    assert taken[0] < 0.3 and taken[4] > 2 and all(pause_s <= 12.5 for pause_s in taken)
