"""The runner against its protocol: executables, limits, locks, damaged frames."""

from __future__ import annotations

import dataclasses
import os
import shutil
import signal
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from codegen.engines.cpu.toolchain import compile_executable
from codegen.program import GpuProgram, Launch, Region
from microbench.conditions import Conditions, read_local_conditions
from microbench.errors import BoardError, CandidateError
from microbench.profile import load_profile
from microbench.runner.build import build_runner, content_sha256
from microbench.runner.client import BoardBusyError, ExecutableAbsentError, RunnerClient
from microbench.runner.frames import HEADER, Ending, Fault, FrameError, Reader, Writer, decode, encode
from microbench.runner.messages import ExecutionRequest, exec_request
from microbench.runner.readings import ReadingState
from microbench.virtual.build import THIS_MACHINE
from tests.microbench.local_runner import PipeTransport

TOOL = r"""
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    char text[64] = "";
    if (argc == 3 && strcmp(argv[1], "copy") == 0) {
        FILE *in = fopen(argv[2], "rb"), *out = fopen("copied.bin", "wb");
        const size_t got = in ? fread(text, 1, sizeof text, in) : 0;
        fwrite(text, 1, got, out);
        printf("%zu bytes", got);
        fprintf(stderr, "warned");
        return 3;
    }
    if (argc == 2 && strcmp(argv[1], "cores") == 0) {
        cpu_set_t allowed;
        return sched_getaffinity(0, sizeof allowed, &allowed) == 0 ? CPU_COUNT(&allowed) : 200;
    }
    if (argc == 2 && strcmp(argv[1], "crash") == 0)
        raise(SIGSEGV);
    if (argc == 2 && strcmp(argv[1], "hang") == 0 && fork() >= 0)
        for (;;)
            pause();
    return 9;
}
"""

NOTHING = GpuProgram(
    words=np.zeros(4, np.uint32),
    size_bytes=64,
    relocations=np.zeros(0, np.uint32),
    launches=(Launch(0, 1),),
    inputs=(),
    outputs=(Region("out", 16, 16),),
    weights_offset_bytes=16,
)


@pytest.fixture(scope="module")
def runner() -> Path:
    return build_runner("none", "nothing 1")


@pytest.fixture(scope="module")
def tool() -> Path:
    return compile_executable({"tool.c": TOOL}, THIS_MACHINE, ("-static", "-D_GNU_SOURCE"))


@pytest.fixture
def start(runner: Path, tmp_path: Path) -> Iterator[Callable[..., PipeTransport]]:
    started: list[PipeTransport] = []

    def begin(idle_limit_s: float = 60.0, holder: str = "somebody") -> PipeTransport:
        started.append(PipeTransport(runner, tmp_path / "there", idle_limit_s, holder))
        return started[-1]

    yield begin
    for transport in started:
        transport.close()


@pytest.fixture
def client(start: Callable[..., PipeTransport]) -> RunnerClient:
    return RunnerClient(start(), "here", timeout_s=30.0)


@pytest.fixture
def request_of(tool: Path, tmp_path: Path) -> ExecutionRequest:
    sha256 = content_sha256(tool)
    (tmp_path / "there" / "bin").mkdir(parents=True, exist_ok=True)
    shutil.copy(tool, tmp_path / "there" / "bin" / sha256)
    return ExecutionRequest(sha256, (), {}, (), 20.0)


@given(st.integers(0, 2**32 - 1), st.binary(max_size=200))
def test_frames_round_trip(kind: int, payload: bytes) -> None:
    frame = encode(kind, payload)
    assert decode(feed(frame)) == (kind, payload)


@given(st.binary(max_size=40), st.integers(0), st.integers(1, 255))
def test_a_damaged_frame_is_noticed(payload: bytes, place: int, change: int) -> None:
    frame = bytearray(encode(1, payload))
    frame[place % len(frame)] ^= change
    with pytest.raises((FrameError, BoardError)):
        decode(feed(bytes(frame)))


@given(st.floats(allow_nan=False), st.binary(max_size=20), st.text(max_size=20))
def test_values_round_trip(number: float, data: bytes, text: str) -> None:
    writer = Writer()
    writer.f64(number)
    writer.data(data)
    writer.string(text)
    reader = Reader(writer.payload())
    assert (reader.f64(), reader.data(), reader.string()) == (number, data, text)
    reader.end()
    with pytest.raises(FrameError):
        reader.u32()


def feed(frame: bytes) -> Callable[[int], bytes]:
    def receive(size: int) -> bytes:
        nonlocal frame
        if size > len(frame):
            raise BoardError("nothing more comes")
        part, frame = frame[:size], frame[size:]
        return part

    return receive


def test_hello_says_what_machine_it_is(client: RunnerClient) -> None:
    info = client.hello()
    assert (info.machine, info.kernel) == (os.uname().machine, os.uname().release)
    assert (info.backend, info.software, info.clock_hz) == ("none", "nothing 1", 0.0)
    assert info.cores == len(os.sched_getaffinity(0))


def test_an_executable_runs_among_its_files(client: RunnerClient, request_of: ExecutionRequest) -> None:
    request = dataclasses.replace(
        request_of,
        arguments=("copy", "in.bin"),
        files={"in.bin": b"abc\0d"},
        outputs=("copied.bin", "other.bin"),
    )
    execution = client.execute(request)
    assert (execution.ending, execution.code) == (Ending.EXIT, 3)
    assert (execution.stdout, execution.stderr) == (b"5 bytes", b"warned")
    assert execution.outputs == {"copied.bin": b"abc\0d", "other.bin": None}


def test_crashes_and_hangs_are_told_apart(
    client: RunnerClient, request_of: ExecutionRequest, tmp_path: Path
) -> None:
    crashed = client.execute(dataclasses.replace(request_of, arguments=("crash",)))
    assert (crashed.ending, crashed.code) == (Ending.SIGNAL, signal.SIGSEGV)
    hung = client.execute(dataclasses.replace(request_of, arguments=("hang",), limit_s=0.05))
    assert (hung.ending, hung.code) == (Ending.LIMIT, signal.SIGKILL)
    assert client.execute(request_of).code == 9
    assert sorted(path.name for path in (tmp_path / "there").iterdir()) == ["bin", "lock"]


@pytest.mark.parametrize("name", ["../escape", "/tmp/escape", ".hidden", "", "a b", "a\nb"])
def test_file_names_that_lead_elsewhere_are_refused(
    client: RunnerClient, request_of: ExecutionRequest, name: str
) -> None:
    with pytest.raises(BoardError, match="plain"):
        client.execute(dataclasses.replace(request_of, files={name: b"x"}))


def test_an_absent_executable_is_asked_for(client: RunnerClient, request_of: ExecutionRequest) -> None:
    with pytest.raises(ExecutableAbsentError):
        client.execute(dataclasses.replace(request_of, sha256="0" * 64))
    assert client.execute(request_of).code == 9


@pytest.mark.parametrize("sha256", ["", "../../bin/sh", "G" * 64, "0" * 63])
def test_only_hashes_name_executables(
    client: RunnerClient, request_of: ExecutionRequest, sha256: str
) -> None:
    with pytest.raises(BoardError, match="SHA-256"):
        client.execute(dataclasses.replace(request_of, sha256=sha256))


def test_a_gpu_program_on_a_machine_without_gpu_is_the_candidates_fault(client: RunnerClient) -> None:
    with pytest.raises(CandidateError, match="without GPU"):
        client.run_gpu(NOTHING, (), 1, 0.8, 10.0)
    assert client.hello().backend == "none"


@pytest.mark.parametrize(
    "wrong",
    [
        dataclasses.replace(NOTHING, size_bytes=8),
        dataclasses.replace(NOTHING, relocations=np.array([4], np.uint32)),
        dataclasses.replace(NOTHING, launches=(Launch(60, 1),)),
        dataclasses.replace(NOTHING, launches=(Launch(0, 0),)),
        dataclasses.replace(NOTHING, outputs=(Region("out", 60, 8),)),
        dataclasses.replace(NOTHING, outputs=(Region("out", 0xFFFFFFF0, 32),)),
    ],
)
def test_programs_that_reach_outside_their_memory_are_refused(
    client: RunnerClient, wrong: GpuProgram
) -> None:
    with pytest.raises(CandidateError):
        client.run_gpu(wrong, (), 1, 0.8, 10.0)


def test_a_second_host_is_kept_away_until_the_first_has_gone(
    start: Callable[..., PipeTransport], tmp_path: Path
) -> None:
    holding = start(holder="alice@desk process 7")
    first = RunnerClient(holding, "first", 30.0)
    first.hello()
    record = f"{holding.process.pid} alice@desk process 7\n"
    assert (tmp_path / "there" / "lock").read_text() == record
    told = rf"process {holding.process.pid} there serves another host \(alice@desk process 7\).*wait"
    with pytest.raises(BoardBusyError, match=told):
        RunnerClient(start(holder="bob@lap process 7"), "second", 30.0).hello()
    first.close()
    assert (tmp_path / "there" / "lock").read_text() == ""
    assert RunnerClient(start(), "third", 30.0).hello().backend == "none"


def test_a_holder_takes_over_from_its_own_lost_runner(start: Callable[..., PipeTransport]) -> None:
    lost = start(holder="alice@desk process 7")
    RunnerClient(lost, "lost", 30.0).hello()
    again = RunnerClient(start(holder="alice@desk process 7"), "again", 30.0)
    assert again.hello().backend == "none"
    assert lost.process.wait(timeout=30) == 70


def test_a_number_left_in_the_pid_file_ends_no_other_program(
    start: Callable[..., PipeTransport], tmp_path: Path
) -> None:
    holding = start(holder="alice")
    RunnerClient(holding, "first", 30.0).hello()
    (tmp_path / "there" / "lock").write_text(f"{os.getpid()} bob\n")
    with pytest.raises(BoardBusyError, match=r"\(bob\)"):
        RunnerClient(start(holder="bob"), "second", 30.0).hello()
    assert holding.process.poll() is None


def test_several_that_start_at_once_share_a_simulated_gpu(tmp_path: Path) -> None:
    program = build_runner("virtual", "simulator 1")
    started = [PipeTransport(program, tmp_path / "there", holder=f"host {i}") for i in range(6)]
    try:
        for transport in started:
            transport.send(encode(2, b""), 1.0)
        answers = [decode(lambda size, one=one: one.receive(size, 30.0))[1] for one in started]  # type: ignore[misc]
        assert {Reader(answer).u32() for answer in answers} == {Fault.PROTOCOL}
    finally:
        for transport in started:
            transport.close()


def test_a_crash_of_the_runner_itself_takes_the_way_out(start: Callable[..., PipeTransport]) -> None:
    transport = start()
    RunnerClient(transport, "here", 30.0).hello()
    transport.process.send_signal(signal.SIGSEGV)
    assert transport.process.wait(timeout=30) == 71


def test_kernels_are_pinned_to_as_many_cores_as_asked(
    client: RunnerClient, request_of: ExecutionRequest
) -> None:
    allowed = len(os.sched_getaffinity(0))
    for cores, expected in ((0, allowed), (1, 1), (999, allowed)):
        pinned = dataclasses.replace(request_of, arguments=("cores",), cores=cores)
        assert client.execute(pinned).code == expected


@pytest.mark.needs("no firmware")
def test_readings_are_typed_where_there_is_no_firmware(
    client: RunnerClient, request_of: ExecutionRequest
) -> None:
    before, after = client.execute(request_of).readings
    by_kernel = read_local_conditions()
    for readings in (before, after):
        assert readings.v3d_clock_hz.state == readings.core_voltage_v.state == ReadingState.NO_FIRMWARE
        assert (readings.temperature_c.value is None) == (by_kernel.temperature_c is None)
        assert (readings.arm_clock_hz.value is None) == (by_kernel.cpu_clock_hz is None)
    if by_kernel == Conditions():
        assert before.conditions() == Conditions()


def test_it_ends_with_its_input_also_in_the_middle_of_work(
    start: Callable[..., PipeTransport], request_of: ExecutionRequest
) -> None:
    idle = start()
    idle.close()
    assert idle.process.returncode in (0, 70)
    busy = start()
    request = dataclasses.replace(request_of, arguments=("hang",), limit_s=600.0)
    busy.send(encode(3, exec_request(request)), 1.0)
    busy.close()
    assert busy.process.returncode in (70, 76)


def test_it_ends_after_idling(start: Callable[..., PipeTransport]) -> None:
    transport = start(idle_limit_s=0.05)
    assert transport.process.wait(timeout=30) == 70


def test_it_quits_when_asked(start: Callable[..., PipeTransport]) -> None:
    transport = start()
    client = RunnerClient(transport, "here", 30.0)
    client.hello()
    client.close()
    assert transport.process.returncode == 0
    with pytest.raises(BoardError, match="open the board again"):
        client.hello()


@pytest.mark.parametrize(
    "bytes_sent",
    [
        b"GET / HTTP/1.0\r\n\r\n",
        encode(1, b"\0\0\0\0")[:-1] + b"\1",
        struct.pack("<4I", 0x4E525845, 1, 1 << 30, 0),
    ],
)
def test_a_damaged_frame_ends_it(start: Callable[..., PipeTransport], bytes_sent: bytes) -> None:
    transport = start()
    transport.send(bytes_sent, 1.0)
    kind, payload = decode(lambda size: transport.receive(size, 30.0))
    assert (kind, Reader(payload).u32()) == (0xFF, 1)
    assert transport.process.wait(timeout=30) == 76


@pytest.mark.parametrize("kind", [1, 2, 3, 77])
@pytest.mark.parametrize("payload", [b"\xff" * 4, b"\1\0\0\0", b"\xff" * 400])
def test_senseless_requests_are_answered_with_a_fault(
    start: Callable[..., PipeTransport], kind: int, payload: bytes
) -> None:
    transport = start()
    for _ in range(2):
        transport.send(encode(kind, payload), 1.0)
        answered, _ = decode(lambda size: transport.receive(size, 30.0))
        assert answered == 0xFF


@pytest.mark.parametrize("limit_s", [float("inf"), float("nan"), 1e300, -1.0])
def test_limits_that_no_clock_keeps_are_refused(
    start: Callable[..., PipeTransport], request_of: ExecutionRequest, limit_s: float
) -> None:
    transport = start()
    sound = exec_request(dataclasses.replace(request_of, limit_s=7.0))
    transport.send(encode(3, sound.replace(struct.pack("<d", 7.0), struct.pack("<d", limit_s))), 1.0)
    kind, payload = decode(lambda size: transport.receive(size, 30.0))
    assert (kind, Reader(payload).u32()) == (0xFF, Fault.PROTOCOL)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(kind=st.sampled_from([1, 2, 3, 5, 200]), payload=st.binary(max_size=120))
def test_whatever_a_sound_frame_holds_is_answered(fuzzed: PipeTransport, kind: int, payload: bytes) -> None:
    fuzzed.send(encode(kind, payload), 1.0)
    answered, _ = decode(lambda size: fuzzed.receive(size, 30.0))
    assert answered in (0xFF, kind | 0x80)


@pytest.fixture(scope="module")
def fuzzed(runner: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PipeTransport]:
    """One runner for all of them: none may end it."""
    transport = PipeTransport(runner, tmp_path_factory.mktemp("fuzzed"))
    yield transport
    transport.close()


def test_the_header_is_four_words() -> None:
    assert HEADER.size == 16


@pytest.mark.slow
@pytest.mark.parametrize("device", ["pi-zero", "pi-2", "pi-3"])
def test_the_runner_of_a_raspberry_pi_is_a_static_arm_program(device: str) -> None:
    program = build_runner("mailbox", "mailbox 1", load_profile(device).target()).read_bytes()
    assert program[:5] == b"\x7fELF\x01"  # 32 bits
    assert struct.unpack_from("<H", program, 18)[0] == 40  # ARM
    assert b"/lib/ld-" not in program
