"""A runner that is ended from outside at any moment: its GPU has one owner, and no memory is touched after its end."""

from __future__ import annotations

import contextlib
import dataclasses
import random
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from codegen.program import GpuProgram
from microbench.boards.ssh_runner import RemoteRunner
from microbench.errors import CandidateError
from microbench.profile import load_profile
from microbench.runner.client import ConnectionLostError, RunnerClient
from microbench.runner.frames import FrameType, encode
from microbench.runner.messages import gpu_run_request
from microbench.virtual.constants import constants_of
from tests.capabilities import need
from tests.microbench.gpu_jobs import sound_gpu_job
from tests.microbench.link_proxy import LinkProxy
from tests.microbench.local_runner import PipeTransport
from tests.microbench.loopback_sshd import LoopbackServer, sshd
from tests.microbench.sanitized_runner import SanitizedRunner, Sanitizers, sanitized_runner

__all__ = ["sshd"]

IMAGE_BYTES = 1 << 20  # much of a repeat is spent with the memory, between two launches
ENDS = 12  # of each kind
LONGEST_WAIT_S = 0.15
STOPPED, BROKEN = 70, 76


@pytest.fixture(scope="module", params=["address,undefined", "thread"])
def runner(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> SanitizedRunner:
    need("c compiler")
    sanitizers: Sanitizers = request.param
    return sanitized_runner(tmp_path_factory.mktemp("sanitized"), "virtual", sanitizers)


@pytest.fixture
def link(sshd: LoopbackServer) -> Iterator[LinkProxy]:
    with LinkProxy(sshd.port) as proxy:
        yield proxy


def large_program() -> GpuProgram:
    program = sound_gpu_job().job.program
    assert program.kind == "gpu"
    return dataclasses.replace(program, size_bytes=IMAGE_BYTES)


def busy(runner: SanitizedRunner, directory: Path, limit_s: float) -> PipeTransport:
    """A runner in the midst of a request that it will not be done with."""
    transport = PipeTransport(runner.program, directory)
    RunnerClient(transport, "here", 60.0).hello(tuple(constants_of(load_profile("pi-zero")).values()))
    inputs = sound_gpu_job().job.inputs
    request = gpu_run_request(large_program(), inputs, 1 << 20, 0.8, limit_s)
    transport.send(encode(FrameType.GPU_RUN, request), 5.0)
    return transport


@pytest.mark.slow
@pytest.mark.parametrize("end", ["input", "signal", "limit"])
def test_an_end_at_any_moment_touches_no_memory_of_the_gpu(
    runner: SanitizedRunner, tmp_path: Path, end: str
) -> None:
    chance = random.Random(end)
    for _ in range(ENDS):
        wait_s = chance.uniform(0.005, LONGEST_WAIT_S)
        transport = busy(runner, tmp_path / "there", wait_s if end == "limit" else 60.0)
        if end != "limit":
            time.sleep(wait_s)
        if end == "signal":
            transport.process.send_signal(signal.SIGTERM)
        if end == "input":
            transport.close()
        code = transport.process.wait(timeout=60)
        assert code in (STOPPED, BROKEN), runner.found()
        if end != "input":
            transport.close()
    assert runner.found() == ""


@pytest.mark.slow
def test_connections_lost_on_the_way_leave_no_report(
    runner: SanitizedRunner,
    sshd: LoopbackServer,
    link: LinkProxy,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """By a real server, through a link that is cut or reset a moment after each question."""
    monkeypatch.setattr("microbench.boards.ssh_runner.device_runner", lambda *_: runner.program)
    known = sshd.known_hosts_for(link.port, tmp_path / "known")
    options = sshd.options(tmp_path / "there", port=link.port, known_hosts_path=known, reconnect_s=0.5)
    program, inputs = large_program(), sound_gpu_job().job.inputs
    chance = random.Random(1)
    for _ in range(ENDS // 2):
        with (
            contextlib.suppress(ConnectionLostError, CandidateError),
            contextlib.closing(RemoteRunner(load_profile("pi-zero"), options)) as remote,
        ):
            link.after(chance.randrange(100, 3000), chance.choice(["cut", "reset"]))
            remote.run(program, inputs, 40)
    assert runner.found() == ""
