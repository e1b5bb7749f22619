"""A virtual Pi: what holds for every board, what its programs compute and take, and what it refuses as a Pi would."""

from __future__ import annotations

import dataclasses
import hashlib
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from codegen.bundle import compile_bundle
from codegen.elf import ElfError
from codegen.engines.cpu.toolchain import compile_executable
from codegen.processors import check_executable, processors_of
from codegen.reference import evaluate
from microbench.board import Board, Job
from microbench.boards.ssh import SshBoard
from microbench.boards.ssh_link import SshLink
from microbench.boards.virtual import VirtualBoard
from microbench.errors import BoardError, HazardError
from microbench.options import BoardOptions
from microbench.profile import load_profile
from microbench.runner import build
from microbench.virtual_pi.files import STATE
from microbench.virtual_pi.firmware_script import normal_conditions, write_conditions
from microbench.virtual_pi.machine import machine_of
from microbench.virtual_pi.server import VirtualPi
from tests.codegen.planned import qpu_plan, small_network
from tests.microbench.board_conformance import BoardConformance
from tests.microbench.gpu_jobs import hanging_gpu_job, sound_gpu_job, straying_gpu_job
from tests.microbench.measured import SoundJob, sound_cpu_job

pytestmark = pytest.mark.needs("virtual pi")

BLOCKS_AT = 12  # of the firmware's state: behind launches, whether the QPUs are on, and the last handle
LONGEST_POLL_S = 100e-6  # of a launch as short as these
MOST_OF_A_LAUNCH = 0.02  # that the guest computes between a launch and its end


@pytest.fixture(scope="module")
def pi() -> Iterator[VirtualPi]:
    with VirtualPi(load_profile("pi-zero")) as started:
        yield started


@pytest.fixture
def board(pi: VirtualPi) -> Iterator[SshBoard]:
    with SshBoard(pi.profile, pi.options()) as opened:
        yield opened


class VirtualPiConformance(BoardConformance):
    kinds = frozenset({"simulated"})
    computes = frozenset({"videocore4", "cpu"})
    device = ""

    @pytest.fixture(scope="class")
    @classmethod
    def virtual(cls) -> Iterator[VirtualPi]:
        with VirtualPi(load_profile(cls.device)) as started:
            yield started

    @pytest.fixture
    def board(self, virtual: VirtualPi) -> Iterator[Board]:
        with SshBoard(virtual.profile, virtual.options()) as opened:
            yield opened

    @pytest.fixture
    def sound(self) -> tuple[SoundJob, ...]:
        return (sound_gpu_job(), sound_cpu_job())


class TestVirtualPiZero(VirtualPiConformance):
    device = "pi-zero"


@pytest.mark.slow
class TestVirtualPi2(VirtualPiConformance):
    device = "pi-2"


@pytest.mark.slow
class TestVirtualPi3(VirtualPiConformance):
    device = "pi-3"


@pytest.mark.slow
class TestVirtualPiZero2(VirtualPiConformance):
    device = "pi-zero-2"


@pytest.mark.slow
class TestVirtualPi3In64Bits(VirtualPiConformance):
    device = "pi-3-64"
    computes = frozenset({"cpu"})

    @pytest.fixture
    def sound(self) -> tuple[SoundJob, ...]:
        return (sound_cpu_job(),)

    def test_its_qpus_are_refused_with_the_reason(self, virtual: VirtualPi) -> None:
        with pytest.raises(BoardError, match=r"aarch64.*32-bit system.*no firmware mailbox"):
            SshBoard(load_profile("pi-3"), virtual.options())


SPINNING = r"""
int __real_ioctl(int device, unsigned long call, void *message);
int __wrap_ioctl(int device, unsigned long call, void *message);

/* Polls instead of sleeping: the board computes for as long as the launch takes. */
int __wrap_ioctl(int device, unsigned long call, void *message)
{
    const int result = __real_ioctl(device, call, message);
    for (volatile int i = 0; i < 2000; ++i)
        ;
    return result;
}
"""
NEON = """
#include <arm_neon.h>
int main(int argc, char **argv)
{
    float32x4_t sum = vdupq_n_f32((float)argc);
    sum = vaddq_f32(sum, sum);
    return vgetq_lane_f32(sum, 0) == 2.0f * (float)argc ? 0 : 1;
}
"""
DOT_PRODUCT = """
int main(void)
{
    __asm__ volatile(".inst 0xfc220d44"); /* vsdot.s8 q0, q1, q2, which the assembler refuses for this core */
    return 0;
}
"""
ILLEGAL = 132  # as a shell tells of SIGILL


def put(pi: VirtualPi, program: Path) -> tuple[SshLink, str]:
    """A program on the board whatever it is for, and a link to start it by."""
    link = SshLink(pi.options())
    content = program.read_bytes()
    return link, link.upload(content, "programs", hashlib.sha256(content).hexdigest())


def launch_share(board: SshBoard, job: Job) -> float:
    """How much of a launch's time the board's CPU computes."""
    measured = board.measure(job)
    return measured.counters["launch_cpu_s"] / measured.times_s[0]


def test_a_launch_takes_what_it_takes_in_process_and_the_call(board: SshBoard, pi: VirtualPi) -> None:
    job = sound_gpu_job().job
    with VirtualBoard.open(pi.profile, BoardOptions()) as here:
        alone_s = here.measure(job).times_s[0]
    assert alone_s < board.measure(job).times_s[0] < (1 + MOST_OF_A_LAUNCH) * alone_s


def test_the_cpu_hardly_computes_during_a_launch(board: SshBoard) -> None:
    assert 0 < launch_share(board, sound_gpu_job().job) < MOST_OF_A_LAUNCH


def test_a_runner_that_spins_is_seen_to_compute(pi: VirtualPi, monkeypatch: pytest.MonkeyPatch) -> None:
    sources = {**build.runner_sources("mailbox", "spinning"), "spinning.c": SPINNING}
    flags = (*build.FLAGS, "-Wl,--wrap=ioctl")
    spinning = compile_executable(sources, pi.profile.target(), flags)
    monkeypatch.setattr("microbench.boards.ssh_runner.device_runner", lambda *_: spinning)
    with SshBoard(pi.profile, pi.options()) as board:
        assert launch_share(board, sound_gpu_job().job) > MOST_OF_A_LAUNCH


def test_times_of_the_cpu_are_the_same_on_every_board_of_a_kind(board: SshBoard) -> None:
    job = dataclasses.replace(sound_cpu_job().job, repeats=3)
    first = board.measure(job).times_s
    with VirtualPi(load_profile("pi-zero")) as other, SshBoard(other.profile, other.options()) as second:
        assert second.fingerprint() == board.fingerprint()
        assert second.measure(job).times_s == first == board.measure(job).times_s


def test_what_it_is_is_said(board: SshBoard) -> None:
    found = board.fingerprint()
    assert found.board == "Virtual Raspberry Pi Zero Rev 1.3"
    assert "-virtual-" in found.kernel
    assert board.kind_of("videocore4") == board.kind_of("cpu") == "simulated"


def test_boards_of_other_constants_are_told_apart(board: SshBoard) -> None:
    true = load_profile("pi-zero").with_v3d(vdw_row_cycles=14.0)
    with VirtualPi(true) as other, SshBoard(board.profile, other.options()) as second:
        assert second.fingerprint() != board.fingerprint()


@pytest.mark.parametrize("job", [hanging_gpu_job(), straying_gpu_job()], ids=["hanging", "straying"])
def test_a_program_that_does_not_end_is_the_candidates_fault(
    board: SshBoard, pi: VirtualPi, job: Job
) -> None:
    with pytest.raises(HazardError, match="did not end the launch in time"):
        board.measure(job)
    assert "launch: " in (pi.directory / "log").read_text()
    board.measure(sound_gpu_job().job)


def test_a_neon_program_dies_there_and_is_refused_before(pi: VirtualPi) -> None:
    neon = compile_executable({"neon.c": NEON}, load_profile("pi-2").target())
    link, path = put(pi, neon)
    try:
        with pytest.raises(BoardError, match=f"status {ILLEGAL}"):
            link.run(("sh", "-c", '"$1"; exit $?', "sh", path))
        processors = processors_of(link.run(("uname", "-m")), link.run(("cat", "/proc/cpuinfo")))
    finally:
        link.close()
    with pytest.raises(ElfError, match=r"the program wants.*the board is ARMv6 with VFPv2"):
        check_executable(neon.read_bytes(), processors, static=True)


@pytest.mark.slow
def test_an_a53_runs_neon_and_refuses_what_came_after_it() -> None:
    profile = load_profile("pi-3")
    with VirtualPi(profile) as pi:
        for source, status in ((NEON, 0), (DOT_PRODUCT, ILLEGAL)):
            link, path = put(pi, compile_executable({"program.c": source}, profile.target()))
            try:
                told = link.run(("sh", "-c", '"$1"; echo $?', "sh", path))
            finally:
                link.close()
            assert told.splitlines()[-1] == str(status)
        assert "has not: dot product" in (pi.directory / "log").read_text()


def test_qpus_that_the_firmware_refuses_are_explained(pi: VirtualPi) -> None:
    before = normal_conditions(pi.profile, machine_of("pi-zero"))
    write_conditions(pi.directory, {0: dataclasses.replace(before, refuses_qpus=True)})
    try:
        with pytest.raises(BoardError, match="disable the vc4-kms-v3d overlay"):
            SshBoard(pi.profile, pi.options())
    finally:
        write_conditions(pi.directory, {0: before})


def test_a_bundle_runs_by_the_mailbox_and_computes_what_it_should(board: SshBoard, tmp_path: Path) -> None:
    graph = small_network()
    compile_bundle(graph, qpu_plan(graph), board.target, tmp_path / "bundle")
    source = np.random.default_rng(1).normal(size=graph.types["x"].shape).astype(np.float32)
    runs = [board.run_bundle(tmp_path / "bundle", (source.reshape(-1),)) for _ in range(2)]
    for output, expected in zip(runs[0].outputs, evaluate(graph, {"x": source}).values(), strict=True):
        assert np.abs(output - expected.reshape(-1)).max() <= 1e-4 * np.abs(expected).max()
    assert runs[0].kind == "simulated"
    assert runs[0].times_s == runs[1].times_s


def test_no_gpu_memory_stays_taken(pi: VirtualPi) -> None:
    with SshBoard(pi.profile, pi.options()) as board:
        board.measure(sound_gpu_job().job)
    until_s = time.monotonic() + 30.0
    while any((pi.directory / STATE).read_bytes()[BLOCKS_AT:]) and time.monotonic() < until_s:
        time.sleep(0.02)
    assert not any((pi.directory / STATE).read_bytes()[BLOCKS_AT:])


def test_registers_launch_without_the_firmware(pi: VirtualPi) -> None:
    sound = sound_gpu_job()
    with VirtualBoard.open(pi.profile, BoardOptions()) as here:
        alone_s = here.measure(sound.job).times_s[0] - pi.profile.v3d_value("launch_overhead_s")
    with SshBoard(pi.profile, pi.options(launch="registers")) as board:
        measured = board.measure(sound.job)
        assert measured.output is not None
        np.testing.assert_array_equal(measured.output, sound.expected)
        assert alone_s < measured.times_s[0] < alone_s + LONGEST_POLL_S
        with pytest.raises(HazardError, match=r"0 of 12 QPU programs ended within"):
            board.measure(hanging_gpu_job())
        board.measure(sound.job)
