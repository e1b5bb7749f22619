"""The runner of a Raspberry Pi with a firmware of the test's: both ways to launch, and memory that is always freed."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from codegen.program import GpuProgram, Launch, Region
from microbench.errors import BoardError, HazardError
from microbench.profile import load_profile
from microbench.runner.client import RunnerClient
from microbench.runner.frames import Fault, FrameType, Reader, decode, encode
from microbench.runner.messages import gpu_run_request
from microbench.virtual.build import THIS_MACHINE
from tests.capabilities import need
from tests.microbench.fake_pi import (
    ALLOCATE,
    ENABLE,
    EXECUTE,
    LOCK,
    RELEASE,
    UNLOCK,
    FakePi,
    fake_pi,
    runner_of_fake_pi,
    wait_until,
)
from tests.microbench.local_runner import PipeTransport

PROGRAM = GpuProgram(
    words=np.array([32, 48, 32, 48], np.uint32),
    size_bytes=128,
    relocations=np.arange(4, dtype=np.uint32),
    launches=(Launch(0, 2),),
    inputs=(),
    outputs=(Region("out", 64, 16),),
    weights_offset_bytes=64,
)
BUS = 0xC0000000 | 7 << 20  # of the first allocation


EMULATORS = {"": (), "pi-zero": ("qemu-arm", "-cpu", "arm1176"), "pi-2": ("qemu-arm", "-cpu", "cortex-a7")}


@pytest.fixture(
    scope="module",
    params=["", *(pytest.param(device, marks=pytest.mark.slow) for device in EMULATORS if device)],
)
def device(request: pytest.FixtureRequest) -> str:
    """Empty: this machine. Else a board's own program under an emulator."""
    if request.param:
        need("arm emulator")
    return str(request.param)


@pytest.fixture(scope="module")
def program(device: str) -> Path:
    return runner_of_fake_pi(load_profile(device).target() if device else THIS_MACHINE)


@pytest.fixture
def pi(device: str, tmp_path: Path) -> FakePi:
    return dataclasses.replace(fake_pi(tmp_path / "pi"), emulator=EMULATORS[device])


@pytest.fixture
def start(pi: FakePi, program: Path) -> Iterator[Callable[..., PipeTransport]]:
    started: list[PipeTransport] = []

    def begin(*launch: str, holder: str = "somebody") -> PipeTransport:
        started.append(pi.start(program, *launch, holder=holder))
        return started[-1]

    yield begin
    for transport in started:
        with contextlib.suppress(BrokenPipeError):
            transport.close()
    wait_until(lambda: pi.guardians() == [], "the end of every guardian")


def run(client: RunnerClient, launch_limit_s: float = 30.0) -> None:
    client.run_gpu(PROGRAM, (), 1, launch_limit_s, 120.0)


def ask(transport: PipeTransport) -> None:
    """Sends the program without waiting for its end."""
    RunnerClient(transport, "pi", 60.0).hello()
    transport.send(encode(FrameType.GPU_RUN, gpu_run_request(PROGRAM, (), 1, 30.0, 120.0)), 1.0)


def test_the_mailbox_launches_by_default(start: Callable[..., PipeTransport], pi: FakePi) -> None:
    client = RunnerClient(start(), "pi", 60.0)
    info = client.hello()
    assert (info.backend, info.kind, info.software) == ("mailbox", "silicon", "mailbox 1")
    run(client)
    assert [call.word for call in pi.calls(EXECUTE)] == [2]
    client.close()
    tags = [call.tag for call in pi.calls(ALLOCATE, LOCK, UNLOCK, RELEASE, ENABLE)]
    assert tags == [ENABLE, ALLOCATE, LOCK, UNLOCK, RELEASE, ENABLE]
    assert len({call.pid for call in pi.calls()}) == 1


@pytest.mark.parametrize(
    ("constants", "flags", "physical"),
    [((), 0xC, 7 << 20), ((1.0,), 0xC, 7 << 20), ((2.0,), 0x4, 0x20000000 + (7 << 20))],
    ids=["usual", "cached", "direct"],
)
def test_memory_is_allocated_as_the_runner_is_told_and_mapped_where_the_arm_sees_it(
    start: Callable[..., PipeTransport], pi: FakePi, constants: tuple[float, ...], flags: int, physical: int
) -> None:
    """A BCM2835: past the system's L2 memory has other physical addresses."""
    client = RunnerClient(start(), "pi", 60.0)
    with (pi.directory / "dev" / "mem").open("r+b") as memory:
        memory.truncate(physical + (1 << 20))
        client.hello(constants)
        run(client)
        assert [call.word for call in pi.calls(ALLOCATE)] == [flags]
        memory.seek(physical)
        assert any(memory.read(PROGRAM.size_bytes)), "the program was written elsewhere"
    client.close()


def test_registers_launch_where_they_are_chosen(start: Callable[..., PipeTransport], pi: FakePi) -> None:
    with pi.registers() as block:
        client = RunnerClient(start("registers"), "pi", 60.0)
        assert client.hello().backend == "registers"
        run(client)
        client.close()
    assert block.requests == [(BUS + 32, BUS + 48)] * 2
    assert pi.calls(EXECUTE) == []
    assert [call.word for call in pi.calls(ENABLE)] == [1, 0]


def test_a_program_that_does_not_end_is_stopped_by_a_loss_of_power(
    start: Callable[..., PipeTransport], pi: FakePi
) -> None:
    with pi.registers(ends=1) as block:
        client = RunnerClient(start("registers"), "pi", 60.0)
        client.hello()
        with pytest.raises(HazardError, match=r"1 of 2 QPU programs ended within 0\.2 s"):
            run(client, 0.2)
        tags = [(call.tag, call.word) for call in pi.calls(ENABLE, RELEASE)]
        assert tags == [
            (ENABLE, 1),
            (ENABLE, 0),
            (ENABLE, 1),
            (RELEASE, 7),
        ]  # off before its memory is another's
        block.ends = 1 << 30
        run(client)
        client.close()


@pytest.mark.parametrize("identity", [0, 0xDEADBEEF])
def test_registers_without_power_are_the_boards_fault(
    start: Callable[..., PipeTransport], pi: FakePi, identity: int
) -> None:
    with pi.registers(identity=identity) as block, pytest.raises(BoardError, match=r"identity.*vc4-kms-v3d"):
        RunnerClient(start("registers"), "pi", 60.0).hello()
    assert block.requests == []


def test_a_device_tree_that_does_not_tell_is_named(start: Callable[..., PipeTransport], pi: FakePi) -> None:
    for missing in ("soc/ranges", "#address-cells"):
        (pi.directory / "proc/device-tree" / missing).unlink()
        client = RunnerClient(start("registers"), "pi", 60.0)
        with pytest.raises(BoardError, match=rf"device-tree/{missing} does not tell.*mailbox"):
            client.hello()
        client.close()


def test_a_way_to_launch_that_nobody_knows_is_refused(start: Callable[..., PipeTransport]) -> None:
    transport = start("semaphore")
    kind, payload = decode(lambda size: transport.receive(size, 60.0))
    assert (kind, Reader(payload).u32()) == (FrameType.ERROR, Fault.PROTOCOL)
    assert transport.process.wait(timeout=30) == 69


def test_a_killed_runner_leaves_no_memory_taken(start: Callable[..., PipeTransport], pi: FakePi) -> None:
    transport = start()
    with pi.hanging(EXECUTE):
        ask(transport)
        wait_until(lambda: pi.calls(EXECUTE) != [], "the launch")
        wait_until(lambda: len(pi.guardians()) == 1, "the guardian")
        transport.process.send_signal(signal.SIGKILL)
        assert transport.process.wait(timeout=60) == -signal.SIGKILL
    wait_until(lambda: pi.calls(RELEASE) != [], "the release")
    by_guardian = [call for call in pi.calls() if call.pid != transport.process.pid]
    assert [(call.tag, call.word) for call in by_guardian] == [(ENABLE, 0), (UNLOCK, 7), (RELEASE, 7)]


def test_an_end_while_memory_is_being_taken_leaves_none_taken(
    start: Callable[..., PipeTransport], pi: FakePi
) -> None:
    transport = start()
    with pi.hanging(ALLOCATE):
        ask(transport)
        wait_until(lambda: pi.calls(ALLOCATE) != [], "the allocation")
        transport.process.send_signal(signal.SIGTERM)
        time.sleep(0.2)  # for long enough that it has come, and less than a wait is hopeless after
    transport.process.wait(timeout=60)
    wait_until(lambda: pi.guardians() == [], "the guardian's end")
    assert [(call.tag, call.word) for call in pi.calls(UNLOCK, RELEASE)] == [(UNLOCK, 7), (RELEASE, 7)]


def test_what_was_freed_in_order_is_not_freed_again(start: Callable[..., PipeTransport], pi: FakePi) -> None:
    transport = start()
    client = RunnerClient(transport, "pi", 60.0)
    client.hello()
    run(client)
    run(client)
    transport.process.send_signal(signal.SIGKILL)
    transport.process.wait(timeout=60)
    wait_until(lambda: pi.guardians() == [], "the guardian's end")
    assert [call.word for call in pi.calls(RELEASE)] == [7, 8]
    assert pi.calls()[-1].tag == ENABLE and pi.calls()[-1].pid != transport.process.pid


def test_a_guardian_at_work_holds_neither_the_connection_nor_the_lock(
    start: Callable[..., PipeTransport], pi: FakePi
) -> None:
    transport = start()
    with pi.hanging(RELEASE):
        with pi.hanging(EXECUTE):
            ask(transport)
            wait_until(lambda: pi.calls(EXECUTE) != [], "the launch")
            transport.process.send_signal(signal.SIGKILL)
            transport.process.wait(timeout=60)
        wait_until(lambda: pi.calls(RELEASE) != [], "the guardian's work")
        with pytest.raises(BoardError, match="gone"):  # the end of its output, not a silence
            transport.receive(1, 30.0)
        second = RunnerClient(start(holder="another"), "pi", 60.0)
        assert second.hello().backend == "mailbox"
        wait_until(lambda: len(pi.guardians()) == 2, "the second guardian")
        second.close()
    wait_until(lambda: pi.guardians() == [], "the guardian's end")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGSEGV])
def test_a_signal_to_the_whole_session_does_not_reach_the_guardian(
    start: Callable[..., PipeTransport], pi: FakePi, number: signal.Signals
) -> None:
    transport = start()
    ask(transport)
    assert decode(lambda size: transport.receive(size, 60.0))[0] != FrameType.ERROR
    wait_until(lambda: len(pi.guardians()) == 1, "the guardian")
    (guardian,) = pi.guardians()
    assert os.getsid(guardian) != os.getsid(transport.process.pid)
    if number != signal.SIGSEGV:
        os.kill(guardian, number)
    transport.process.send_signal(number)
    transport.process.wait(timeout=60)
    assert [call.word for call in pi.calls(RELEASE)] == [7]
