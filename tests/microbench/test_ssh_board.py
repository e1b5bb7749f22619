"""The SSH board on loopback: what holds for every board, and that it measures exactly what the board here does."""

from __future__ import annotations

import dataclasses
import platform
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from codegen.bundle import compile_bundle
from codegen.graph import Graph
from codegen.processors import ARM_MACHINES
from codegen.reference import evaluate
from codegen.tensor import FloatArray
from microbench.board import Board, Job
from microbench.boards import ssh_runner
from microbench.boards.local_machine import hash_of_serial, serial_hash
from microbench.boards.remote_cpu import RemoteCpuBoard
from microbench.boards.silicon import SiliconBoard
from microbench.boards.ssh import SshBoard
from microbench.boards.ssh_runner import RemoteRunner, backend_for
from microbench.boards.virtual import VirtualBoard
from microbench.errors import BoardError, CandidateError, HazardError
from microbench.options import BoardOptions, Launch, SshOptions
from microbench.profile import DeviceProfile, load_profile
from microbench.registry import open_board
from microbench.runner.build import build_runner, runner_revision
from microbench.runner.frames import PROTOCOL_VERSION
from tests.codegen.planned import plan_of, qpu_plan, small_network
from tests.microbench.board_conformance import BoardConformance
from tests.microbench.gpu_jobs import (
    hanging_gpu_job,
    sound_gpu_job,
    stale_gpu_job,
    straying_gpu_job,
    warned_gpu_job,
)
from tests.microbench.link_proxy import LinkProxy
from tests.microbench.loopback_sshd import LoopbackServer, sshd
from tests.microbench.measured import SoundJob, sound_cpu_job

__all__ = ["sshd"]


def profile() -> DeviceProfile:
    return load_profile("pi-zero")


def input_of(graph: Graph) -> FloatArray:
    return np.random.default_rng(1).normal(size=graph.types["x"].shape).astype(np.float32)


class TestSshBoardWithSimulator(BoardConformance):
    kinds = frozenset({"simulated", "modelled"})
    computes = frozenset({"videocore4"})

    @pytest.fixture
    def board(self, sshd: LoopbackServer, tmp_path: Path) -> Iterator[Board]:
        with open_board("pi-zero", ssh=sshd.options(tmp_path / "there")) as board:
            yield board

    @pytest.fixture
    def sound(self) -> tuple[SoundJob, ...]:
        return (sound_gpu_job(), sound_cpu_job())

    def test_fingerprint_and_measurements_equal_the_virtual_boards(
        self, board: Board, sound: tuple[SoundJob, ...]
    ) -> None:
        with VirtualBoard.open(profile(), BoardOptions()) as here:
            assert board.fingerprint() == here.fingerprint()
            for item in (*sound, sound_gpu_job(5)):
                job = dataclasses.replace(item.job, repeats=2)
                there_says, here_says = board.measure(job), here.measure(job)
                assert there_says.times_s == here_says.times_s
                assert there_says.kind == here_says.kind
                assert dict(there_says.counters) == dict(here_says.counters)
                if here_says.output is not None:
                    np.testing.assert_array_equal(there_says.output, here_says.output)

    @pytest.mark.parametrize(
        "job", [hanging_gpu_job(), straying_gpu_job(), stale_gpu_job(), warned_gpu_job()]
    )
    def test_hazards_are_told_as_the_virtual_board_tells_them(self, board: Board, job: Job) -> None:
        with VirtualBoard.open(profile(), BoardOptions()) as here, pytest.raises(HazardError) as told_here:
            here.measure(job)
        with pytest.raises(HazardError) as told_there:
            board.measure(job)
        reason = str(told_here.value).split("virtual GPU: ", 1)[1].splitlines()[0]
        assert str(told_there.value).endswith(reason)
        assert job.candidate.hash[:12] in str(told_there.value)

    def test_a_bundle_gives_the_same_as_on_the_virtual_board(self, board: Board, tmp_path: Path) -> None:
        graph = small_network()
        compile_bundle(graph, qpu_plan(graph), board.target, tmp_path / "bundle")
        source = input_of(graph).reshape(-1)
        with VirtualBoard.open(profile(), BoardOptions()) as here:
            run_here = here.run_bundle(tmp_path / "bundle", (source,))
        run_there = board.run_bundle(tmp_path / "bundle", (source,))
        assert run_there.time_s == run_here.time_s
        assert run_there.step_times_s == run_here.step_times_s
        assert run_there.step_kinds == run_here.step_kinds
        assert {"simulated", "modelled"} == set(run_there.step_kinds.values())
        for there, expected in zip(run_there.outputs, run_here.outputs, strict=True):
            np.testing.assert_array_equal(there, expected)

    def test_several_may_be_open_at_once(
        self, board: Board, sshd: LoopbackServer, tmp_path: Path, sound: tuple[SoundJob, ...]
    ) -> None:
        with open_board("pi-zero", ssh=sshd.options(tmp_path / "there")) as second:
            assert second.measure(sound[0].job).times_s == board.measure(sound[0].job).times_s


class TestSshBoardOfAnotherComputer(BoardConformance):
    kinds = frozenset({"host"})
    computes = frozenset({"cpu"})

    @pytest.fixture
    def board(self, sshd: LoopbackServer, tmp_path: Path) -> Iterator[Board]:
        with open_board("host", ssh=sshd.options(tmp_path / "there")) as board:
            yield board

    def test_a_second_host_is_told_that_it_is_busy(
        self, board: Board, sshd: LoopbackServer, tmp_path: Path
    ) -> None:
        with pytest.raises(BoardError, match=r"127\.0\.0\.1.*serves another host"):
            open_board("host", ssh=sshd.options(tmp_path / "there"))

    def test_a_crash_there_is_the_candidates_fault(self, board: Board) -> None:
        sound = sound_cpu_job().job
        assert sound.program.kind == "cpu"
        source = sound.program.source.replace("(void)workspace;", "__builtin_trap();")
        crashing = dataclasses.replace(sound, program=dataclasses.replace(sound.program, source=source))
        with pytest.raises(CandidateError, match="died of SIG"):
            board.measure(crashing)
        board.measure(sound)

    def test_runs_a_bundle(self, board: Board, tmp_path: Path) -> None:
        graph = small_network()
        compile_bundle(graph, plan_of(graph), board.target, tmp_path / "bundle")
        source = input_of(graph)
        run = board.run_bundle(tmp_path / "bundle", (source.reshape(-1),))
        for output, expected in zip(run.outputs, evaluate(graph, {"x": source}).values(), strict=True):
            assert np.abs(output - expected.reshape(-1)).max() <= 1e-5 * np.abs(expected).max()
        assert run.kind == "host"
        assert run.time_s > 0


@pytest.fixture
def remote(sshd: LoopbackServer, tmp_path: Path) -> Iterator[RemoteRunner]:
    remote = RemoteRunner(load_profile("host"), sshd.options(tmp_path / "there"))
    yield remote
    remote.close()


def test_a_fingerprint_names_machine_kernel_and_runner(remote: RemoteRunner) -> None:
    found = RemoteCpuBoard(load_profile("host"), remote).fingerprint()
    assert found.kernel == f"Linux {platform.release()}"
    assert found.runner == f"protocol {PROTOCOL_VERSION}, {runner_revision('none')}"
    assert found.cpu_clock_hz == remote.info.cpu_clock_hz
    if remote.info.serial == machine_id():
        assert found.serial_hash == serial_hash()
    assert (found.serial_hash == "") == (remote.info.serial == "")


def test_a_serial_number_appears_nowhere_in_the_clear(remote: RemoteRunner) -> None:
    serial = "10000000abcd1234"
    remote.info = dataclasses.replace(remote.info, serial=serial)
    for board in (RemoteCpuBoard(load_profile("host"), remote), SiliconBoard(profile(), remote)):
        found = board.fingerprint()
        assert found.serial_hash == hash_of_serial(serial) != ""
        assert serial not in repr(found) and "abcd1234" not in repr(remote.info)
        remote.info = dataclasses.replace(remote.info, serial="10000000abcd1235")
        assert board.fingerprint().hash != found.hash
        remote.info = dataclasses.replace(remote.info, serial=serial)


def test_times_of_a_raspberry_pis_cpu_are_silicon(remote: RemoteRunner, tmp_path: Path) -> None:
    """Every other computer's are `host`: `TestSshBoardOfAnotherComputer`."""
    remote.info = dataclasses.replace(remote.info, board="Raspberry Pi Zero 2 W Rev 1.0")
    board = RemoteCpuBoard(load_profile("host"), remote)
    assert board.measure(sound_cpu_job().job).kind == "silicon"
    graph = small_network()
    compile_bundle(graph, plan_of(graph), board.target, tmp_path / "bundle")
    run = board.run_bundle(tmp_path / "bundle", (input_of(graph).reshape(-1),))
    assert run.kind == "silicon" and set(run.step_kinds.values()) == {"silicon"}
    assert "Raspberry Pi Zero 2 W" in board.fingerprint().board


def machine_id() -> str:
    path = Path("/etc/machine-id")
    return path.read_text().strip() if path.exists() else ""


class Recorded(Exception):
    """The command line of a runner that is not started."""


class RecordingLink:
    """A Pi Zero that answers what is asked before its runner is started."""

    place = "pi@board:22"

    def __init__(self, options: SshOptions) -> None:
        pass

    def run(self, arguments: tuple[str, ...]) -> str:
        return "armv6l" if arguments[0] == "uname" else ""

    def upload(self, content: bytes, directory: str, name: str) -> str:
        return f"{directory}/{name}"

    def start(self, arguments: tuple[str, ...]) -> None:
        raise Recorded(*arguments)

    def close(self) -> None:
        pass


@pytest.mark.parametrize(("launch", "words"), [("mailbox", ()), ("registers", ("registers",))])
def test_the_runner_is_told_how_to_launch(
    monkeypatch: pytest.MonkeyPatch, launch: Launch, words: tuple[str, ...]
) -> None:
    own_runner = build_runner("none", "nothing 1")
    monkeypatch.setattr(ssh_runner, "SshLink", RecordingLink)
    monkeypatch.setattr(ssh_runner, "device_runner", lambda backend, profile: own_runner)
    monkeypatch.setattr(ssh_runner, "check_executable", lambda content, processors, static: None)
    with pytest.raises(Recorded) as recorded:
        RemoteRunner(profile(), SshOptions("board", launch=launch))
    assert recorded.value.args[4:] == words


@pytest.mark.parametrize(
    ("device", "machine"), [("pi-zero", platform.machine()), ("host", platform.machine())]
)
def test_only_a_raspberry_pi_launches_by_registers(device: str, machine: str) -> None:
    options = SshOptions("board", launch="registers")
    with pytest.raises(BoardError, match="no QPUs to launch by registers; remove"):
        backend_for(load_profile(device), machine, options)
    assert backend_for(profile(), "armv6l", options) == "mailbox"


def test_a_cut_connection_is_a_board_error_with_host_and_remedy(sshd: LoopbackServer, tmp_path: Path) -> None:
    with LinkProxy(sshd.port) as proxy:
        known = sshd.known_hosts_for(proxy.port, tmp_path / "known")
        options = sshd.options(tmp_path / "there", port=proxy.port, known_hosts_path=known, reconnect_s=0.5)
        with SshBoard(profile(), options) as board:
            board.measure(sound_gpu_job().job)
            proxy.refuse()
            proxy.cut()
            with pytest.raises(BoardError, match=rf"127\.0\.0\.1:{proxy.port}.*run again") as lost:
                board.measure(sound_gpu_job().job)
            assert not isinstance(lost.value, CandidateError)
            assert board.measure(sound_cpu_job().job).kind == "modelled"


def test_an_unknown_host_key_opens_no_board(sshd: LoopbackServer, tmp_path: Path) -> None:
    options = sshd.options(tmp_path / "there", known_hosts_path=tmp_path / "none")
    with pytest.raises(BoardError, match="unknown"):
        SshBoard(profile(), options)
    assert not (tmp_path / "there").exists()


def test_the_board_must_be_named() -> None:
    with pytest.raises(BoardError, match="--ssh"):
        SshBoard.open(profile(), BoardOptions())


def test_the_runner_fits_what_answers() -> None:
    own = platform.machine()
    anywhere = SshOptions("board")
    assert backend_for(profile(), own, anywhere) == "virtual"
    assert backend_for(load_profile("host"), own, anywhere) == "none"
    for machine in ARM_MACHINES:
        assert backend_for(profile(), machine, anywhere) == "mailbox"


@pytest.mark.parametrize(
    ("device", "machine", "backend"),
    [("host", "riscv64", None), ("pi-zero", "riscv64", None), ("pi-zero", "riscv64", "virtual")],
)
def test_a_machine_without_a_runner_is_named(device: str, machine: str, backend: str | None) -> None:
    options = SshOptions("board", backend=backend)  # type: ignore[arg-type]
    with pytest.raises(BoardError, match=f"board \\({machine}\\)"):
        backend_for(load_profile(device), machine, options)
