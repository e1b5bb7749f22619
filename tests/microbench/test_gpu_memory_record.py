"""GPU memory of killed programs: the firmware keeps it until the runner, or the next program, frees it."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from microbench.runner.build import content_sha256
from microbench.runner.client import RunnerClient
from microbench.runner.frames import Ending
from microbench.runner.messages import ExecutionRequest
from tests.microbench.fake_pi import (
    ALLOCATE,
    ENABLE,
    RELEASE,
    UNLOCK,
    FakePi,
    fake_pi,
    runner_of_fake_pi,
    user_of_fake_pi,
    wait_until,
)

FREED, KEPT = 7, 8  # the handles of a program's memory


@pytest.fixture(scope="module")
def user() -> Path:
    return user_of_fake_pi()


@pytest.fixture
def pi(tmp_path: Path) -> FakePi:
    return fake_pi(tmp_path / "pi")


@contextlib.contextmanager
def started(user: Path, pi: FakePi, how: str) -> Iterator[subprocess.Popen[bytes]]:
    environment = {**os.environ, "FAKE_PI": str(pi.directory)}
    with subprocess.Popen((user, how), env=environment) as process:
        try:
            yield process
        finally:
            process.kill()


def by(pi: FakePi, process: int) -> list[tuple[int, int]]:
    """What a process freed, and when it switched the QPUs."""
    return [(call.tag, call.word) for call in pi.calls(ENABLE, UNLOCK, RELEASE) if call.pid == process]


def kill_one(user: Path, pi: FakePi) -> None:
    with started(user, pi, "hang") as killed:
        wait_until(lambda: (RELEASE, FREED) in by(pi, killed.pid), "its memory")
        killed.send_signal(signal.SIGKILL)
        killed.wait(60)


def test_the_next_program_frees_what_a_killed_one_had_taken(user: Path, pi: FakePi) -> None:
    kill_one(user, pi)
    for freed_before in ([(ENABLE, 0), (UNLOCK, KEPT), (RELEASE, KEPT)], []):
        with started(user, pi, "leave") as follower:
            assert follower.wait(60) == 0
        assert by(pi, follower.pid) == [
            *freed_before,
            (ENABLE, 1),
            (UNLOCK, FREED),
            (RELEASE, FREED),
            (UNLOCK, KEPT),
            (RELEASE, KEPT),
            (ENABLE, 0),
        ]


def test_memory_of_a_living_program_is_left_alone(user: Path, pi: FakePi) -> None:
    with started(user, pi, "hang") as living:
        wait_until(lambda: (RELEASE, FREED) in by(pi, living.pid), "its memory")
        kill_one(user, pi)
        with started(user, pi, "leave") as follower:
            assert follower.wait(60) == 0
        freed = [call for call in by(pi, follower.pid) if call[0] == RELEASE]
        assert freed == [(RELEASE, KEPT), (RELEASE, FREED), (RELEASE, KEPT)]
        assert by(pi, follower.pid)[0] == (UNLOCK, KEPT)  # the QPUs work for the other one


@pytest.mark.parametrize(("how", "ending"), [("hang", Ending.LIMIT), ("crash", Ending.SIGNAL)])
def test_the_runner_frees_what_its_program_left(user: Path, pi: FakePi, how: str, ending: Ending) -> None:
    transport = pi.start(runner_of_fake_pi())
    try:
        program = pi.directory / "there" / "bin" / content_sha256(user)
        shutil.copy(user, program)
        client = RunnerClient(transport, "pi", 60.0)
        client.hello()
        request = ExecutionRequest(program.name, (how,), {}, (), 2.0)
        assert client.execute(request).ending == ending
        runner = transport.process.pid
        assert by(pi, runner) == [(ENABLE, 1), (ENABLE, 0), (UNLOCK, KEPT), (RELEASE, KEPT), (ENABLE, 1)]
        client.execute(ExecutionRequest(program.name, ("leave",), {}, (), 20.0))
        client.close()
    finally:
        transport.close()
    wait_until(lambda: pi.guardians() == [], "the guardian's end")
    taken = len(pi.calls(ALLOCATE))
    assert len(pi.calls(RELEASE)) == taken == 4


def test_without_a_place_for_the_record_programs_run_all_the_same(user: Path, pi: FakePi) -> None:
    (pi.directory / "run").rmdir()
    with started(user, pi, "leave") as alone:
        assert alone.wait(60) == 0
    assert len(pi.calls(RELEASE)) == 2
