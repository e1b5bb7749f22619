"""The doctor: each check on what boards in good and bad order say, and all of them on a real server."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from microbench.boards.ssh_runner import RemoteRunner
from microbench.doctor.diagnosis import Diagnosis
from microbench.doctor.examination import check_architecture, check_reachable, check_sudo, examine, judged
from microbench.doctor.gpu import (
    applying_overlays,
    check_gpu_memory,
    check_kernel,
    check_memory_device,
    check_overlay,
    check_vcio,
)
from microbench.doctor.probes import PROBES, lock_of, probe
from microbench.doctor.system import check_clocks, check_lock, check_space, check_throttling
from microbench.errors import BoardError
from microbench.options import SshOptions
from microbench.profile import load_profile
from tests.microbench.loopback_sshd import LoopbackServer, free_port, make_key, sshd

__all__ = ["sshd"]

ZERO = "Raspberry Pi Zero W Rev 1.1"
ZERO_2 = "Raspberry Pi Zero 2 W Rev 1.0"
FOUR = "Raspberry Pi 4 Model B Rev 1.4"

# As Raspberry Pi OS writes them, shortened to the lines that count.
VCIO_USABLE = "crw-rw---- 1 root video 249, 0 Nov  3 10:17 /dev/vcio\nusable"
VCIO_NOT_OURS = "crw-rw---- 1 root video 249, 0 Nov  3 10:17 /dev/vcio"
VCIO_OF_ROOT = "crw------- 1 root root 249, 0 Nov  3 10:17 /dev/vcio"
MEMORY = "crw-r----- 1 root kmem 1, 1 Nov  3 10:17 /dev/mem"
USER = "pi\n1000"
CONFIG_KMS = "# Enable DRM VC4 V3D driver\ndtoverlay=vc4-kms-v3d\nmax_framebuffers=2\n[all]\n"
CONFIG_OFF = "dtparam=audio=on\n#dtoverlay=vc4-kms-v3d\n[all]\ngpu_mem=128\n"
CONFIG_FOUR_ONLY = "[pi4]\ndtoverlay=vc4-kms-v3d,cma-512\n[all]\ngpu_mem=128\n"
DF = """\
Filesystem     1024-blocks    Used Available Capacity Mounted on
/dev/root         14987656 6021504 {available} 43% /"""

GOOD = {
    "machine": "armv6l", "release": "6.1.21+", "word_bits": "32", "model": ZERO, "user": "root\n0",
    "vcio": VCIO_USABLE, "mem": MEMORY, "lockdown": "[none] integrity", "vc4": "",
    "config": CONFIG_OFF, "gpu_mem": "gpu=128M",
    "cpu_clock": "frequency(48)=1000000000", "v3d_clock": "frequency(43)=300000992",
    "cpu_range": "1000000\n1000000", "governor": "performance", "throttled": "throttled=0x0",
    "space": DF.format(available="8300000"),
}  # fmt: skip


def verdict_of(diagnosis: Diagnosis, verdict: str, *texts: str) -> None:
    """The verdict, every text in result or remedy, and a remedy where there must be one."""
    assert diagnosis.verdict == verdict, diagnosis
    assert bool(diagnosis.remedy) == (verdict not in ("ok", "not needed"))
    for text in texts:
        assert text in f"{diagnosis.result} | {diagnosis.remedy}"


def test_a_board_in_order_passes_every_check() -> None:
    assert set(GOOD) == set(PROBES)
    diagnoses = judged(load_profile("pi-zero"), GOOD)
    assert [diagnosis.check for diagnosis in diagnoses if diagnosis.verdict != "ok"] == []
    assert check_architecture(load_profile("pi-zero"), "armv6l", ZERO, SshOptions("h")).verdict == "ok"


def test_a_board_that_says_nothing_fails_or_is_unknown_everywhere() -> None:
    for diagnosis in judged(load_profile("pi-zero"), dict.fromkeys(PROBES, "")):
        assert diagnosis.verdict in ("failed", "unknown")
        assert diagnosis.remedy


def test_a_profile_without_qpus_wants_no_mailbox() -> None:
    told = {**GOOD, "machine": "aarch64", "word_bits": "64", "model": FOUR, "vcio": "", "vc4": "loaded"}
    verdicts = {diagnosis.check: diagnosis.verdict for diagnosis in judged(load_profile("pi-4"), told)}
    for check in ("/dev/vcio", "/dev/mem", "vc4-kms-v3d overlay", "gpu_mem"):
        assert verdicts[check] == "not needed"
    assert verdicts["kernel"] == "ok"


@pytest.mark.parametrize(
    ("device", "machine", "verdict", "text"),
    [
        ("pi-zero", "armv6l", "ok", "armv6l"),
        ("pi-3", "armv7l", "ok", "armv7l"),
        ("pi-3", "aarch64", "failed", "32-bit system"),
        ("pi-3-64", "aarch64", "ok", "aarch64"),
        ("pi-4", "armv7l", "failed", "profile of the board that is there"),
        ("pi-zero", "riscv64", "failed", "riscv64"),
    ],
)
def test_the_architecture_must_be_the_profile_s(device: str, machine: str, verdict: str, text: str) -> None:
    diagnosis = check_architecture(load_profile(device), machine, ZERO, SshOptions("h"))
    verdict_of(diagnosis, verdict, text)


@pytest.mark.parametrize(
    ("machine", "bits", "qpus", "verdict", "text"),
    [
        ("armv6l", "32", True, "ok", "32 bit, 32-bit programs"),
        ("aarch64", "64", True, "failed", "arm_64bit=0"),
        ("aarch64", "32", True, "failed", "arm_64bit=0"),
        ("aarch64", "64", False, "ok", "64 bit, 64-bit programs"),
        ("aarch64", "32", False, "warning", "two word sizes"),
        ("armv7l", "", True, "ok", "Linux 6.1.21"),
        ("", "32", True, "unknown", "uname"),
    ],
)
def test_the_kernel_s_word_size(machine: str, bits: str, qpus: bool, verdict: str, text: str) -> None:
    verdict_of(check_kernel(machine, "6.1.21", bits, qpus), verdict, text)


def test_the_mailbox_and_the_right_to_it() -> None:
    verdict_of(check_vcio(VCIO_USABLE, USER, False), "ok", "writable")
    for listing in (VCIO_NOT_OURS, VCIO_OF_ROOT):
        verdict_of(
            check_vcio(listing, USER, False), "failed", "--sudo", "pi may not use it", listing.split()[0]
        )
        verdict_of(check_vcio(listing, USER, True), "ok", "for root")
    for as_root in (False, True):
        verdict_of(check_vcio("", USER, as_root), "failed", "there is none", "Raspberry Pi OS")


def test_memory_is_root_s_whatever_its_file_says() -> None:
    told = "[none] integrity confidentiality"
    verdict_of(
        check_memory_device(MEMORY, told, USER, False), "failed", "root alone", "explore runner package"
    )
    everyone = "crw-rw-rw- 1 root kmem 1, 1 Nov  3 10:17 /dev/mem"
    verdict_of(check_memory_device(everyone, "", USER, False), "failed", "--sudo", "amounts to root")
    verdict_of(check_memory_device(MEMORY, "", USER, True), "ok", "root's")
    verdict_of(check_memory_device(MEMORY, "", "root\n0", False), "ok", "root's")
    verdict_of(check_memory_device("", "", USER, True), "failed", "there is none")
    locked = "none [integrity] confidentiality"
    verdict_of(check_memory_device(MEMORY, locked, USER, True), "failed", "locked down", "lockdown=")


def test_what_the_runner_s_rights_amount_to_is_said() -> None:
    verdict_of(check_sudo("", USER, wanted=True), "ok", "amounts to root")
    verdict_of(check_sudo("all", USER, wanted=True), "ok", "may run any program as root")
    verdict_of(check_sudo("all", USER, wanted=False), "ok", "this user's")
    verdict_of(check_sudo("", "root\n0", wanted=False), "ok", "run as root")


@pytest.mark.parametrize(
    ("driver", "config", "model", "verdict", "text"),
    [
        ("", CONFIG_OFF, ZERO, "ok", "not in config.txt"),
        ("loaded", CONFIG_KMS, ZERO, "failed", "put # before"),
        ("", CONFIG_KMS, ZERO, "failed", "dtoverlay=vc4-kms-v3d"),
        ("", "dtoverlay = vc4-fkms-v3d\n", ZERO, "failed", "vc4-fkms-v3d"),
        ("", CONFIG_FOUR_ONLY, ZERO, "ok", "not loaded"),
        ("", CONFIG_FOUR_ONLY, FOUR, "failed", "put # before"),
        ("loaded", CONFIG_OFF, ZERO, "failed", "includes"),
        ("", "", ZERO, "unknown", "cannot be read"),
    ],
)
def test_the_overlay_that_keeps_qpu_programs_out(
    driver: str, config: str, model: str, verdict: str, text: str
) -> None:
    verdict_of(check_overlay(driver, config, model), verdict, text)


@pytest.mark.parametrize(
    ("section", "model", "applies"),
    [
        ("pi0", ZERO, True),
        ("pi0", ZERO_2, True),
        ("pi0w", ZERO_2, False),
        ("pi02", ZERO_2, True),
        ("pi02", ZERO, False),
        ("pi1", "Raspberry Pi Model B Plus Rev 1.2", True),
        ("pi2", "Raspberry Pi 2 Model B Rev 1.1", True),
        ("pi3+", "Raspberry Pi 3 Model B Rev 1.2", False),
        ("pi3+", "Raspberry Pi 3 Model B Plus Rev 1.3", True),
        ("pi3", "Raspberry Pi 3 Model B Plus Rev 1.3", True),
        ("none", ZERO, False),
        ("all", ZERO, True),
        ("EDID=VSC-TD2220", ZERO, True),
        ("pi4", "", True),
    ],
)
def test_sections_of_the_configuration_are_for_models(section: str, model: str, applies: bool) -> None:
    found = applying_overlays(f"[pi5]\n[{section}]\n dtoverlay=vc4-kms-v3d \n", model)
    assert found == (("vc4-kms-v3d",) if applies else ())


def test_gpu_memory_is_what_plans_may_take() -> None:
    verdict_of(check_gpu_memory("gpu=128M", 128 << 20), "ok", "128 MB")
    verdict_of(check_gpu_memory("gpu=76M\n", 128 << 20), "failed", "76 MB", "gpu_mem=128")
    verdict_of(check_gpu_memory("VCHI initialization failed", 128 << 20), "unknown", "gpu_mem=128")


def test_clocks_and_governor() -> None:
    arm, v3d = "frequency(48)=700000000", "frequency(43)=250000000"
    verdict_of(check_clocks(arm, v3d, "", "performance"), "ok", "GPU 250 MHz", "CPU 700 MHz")
    verdict_of(
        check_clocks("", "", "600000\n1200000", "ondemand"),
        "warning",
        "CPU 600 MHz",
        "at most 1200 MHz",
        "sudo tee",
    )
    verdict_of(check_clocks(arm, v3d, "", ""), "unknown", "governor unknown")


@pytest.mark.parametrize(
    ("answer", "now", "since"),
    [
        ("throttled=0x0", "ok", "ok"),
        ("0", "ok", "ok"),
        ("throttled=0x50005", "failed", "warning"),
        ("50000", "ok", "warning"),
        ("throttled=0x80008", "failed", "warning"),
        ("VCHI initialization failed", "unknown", "unknown"),
        ("", "unknown", "unknown"),
    ],
)
def test_throttling_now_and_since_boot(answer: str, now: str, since: str) -> None:
    present, past = check_throttling(answer)
    verdict_of(present, now)
    verdict_of(past, since)


def test_the_remedy_of_throttling_is_power_or_cooling() -> None:
    verdict_of(check_throttling("throttled=0x50005")[0], "failed", "under-voltage, throttled", "power supply")
    verdict_of(check_throttling("throttled=0xe0008")[0], "failed", "soft temperature limit", "heat sink")


def test_free_space() -> None:
    verdict_of(check_space(DF.format(available="8300000")), "ok", "8105 MiB")
    verdict_of(check_space(DF.format(available="300000")), "warning", "292 MiB", "delete")
    verdict_of(check_space(DF.format(available="20000")), "failed", "19 MiB", "delete")
    verdict_of(check_space("df: .: No such file or directory"), "unknown")


def test_the_lock_s_holder_is_a_living_runner_of_that_directory() -> None:
    directory = ".cache/explore-edge"
    runner = f"/home/pi/{directory}/bin/9f86d081 {directory} 14400"
    verdict_of(check_lock(None, "", directory, shared=False), "ok", "none")
    verdict_of(check_lock(712, "", directory, shared=False), "ok", "has ended")
    verdict_of(check_lock(712, "/usr/sbin/cron -f", directory, shared=False), "ok", "has ended")
    verdict_of(check_lock(712, runner, directory, shared=False), "failed", "process 712", "kill 712")
    verdict_of(check_lock(712, runner, directory, shared=True), "ok", "share")


@given(st.text(max_size=200), st.text(max_size=200))
def test_no_check_fails_on_what_a_board_may_say(first: str, second: str) -> None:
    told = dict.fromkeys(PROBES, first)
    assert len(judged(load_profile("pi-zero"), told)) == 9
    assert len(judged(load_profile("pi-zero"), {**dict.fromkeys(PROBES, second), "machine": "armv6l"})) == 9


class SpyLink:
    """Answers every command with the same text and keeps the commands."""

    def __init__(self, answer: str) -> None:
        self.answer = answer
        self.commands: list[tuple[str, ...]] = []

    def run(self, arguments: tuple[str, ...]) -> str:
        self.commands.append(arguments)
        return self.answer


@pytest.mark.parametrize("answer", ["", "$(reboot)", "12; reboot", "\x1b[2J", "٣", "-1"])
def test_nothing_that_a_board_says_gets_into_a_command(answer: str) -> None:
    link = SpyLink(answer)
    assert probe(link) == dict.fromkeys(PROBES, answer)
    assert lock_of(link, "there") == (None, "")
    assert all("reboot" not in word for command in link.commands for word in command)
    assert len(link.commands) == len(PROBES) + 1


def diagnoses_at(options: SshOptions, device: str = "pi-zero") -> dict[str, Diagnosis]:
    diagnoses: list[Diagnosis] = []
    examine(load_profile(device), options, diagnoses.append)
    return {diagnosis.check: diagnosis for diagnosis in diagnoses}


@pytest.mark.needs("no firmware")
def test_this_machine_is_examined_in_order_and_told_that_it_is_no_board(
    sshd: LoopbackServer, tmp_path: Path
) -> None:
    found = diagnoses_at(sshd.options(tmp_path / "there"))
    assert list(found) == [
        "reachable", "key", "architecture", "kernel", "/dev/vcio", "/dev/mem", "vc4-kms-v3d overlay", "gpu_mem",
        "clocks and governor", "throttling now", "throttling since boot", "free space", "runner",
        "rights of the runner", "lock holder",
    ]  # fmt: skip
    verdict_of(found["reachable"], "ok", f"port {sshd.port}")
    verdict_of(found["key"], "ok", sshd.user)
    verdict_of(found["architecture"], "warning", "simulated")
    verdict_of(found["/dev/vcio"], "failed", "there is none", "Raspberry Pi")
    verdict_of(found["runner"], "ok", "protocol", "virtual")
    verdict_of(found["lock holder"], "ok")
    assert found["free space"].result.endswith(" MiB")


def test_a_cpu_of_this_kind_needs_no_mailbox(sshd: LoopbackServer, tmp_path: Path) -> None:
    found = diagnoses_at(sshd.options(tmp_path / "there"), "host")
    assert [found[check].verdict for check in ("architecture", "/dev/vcio", "runner")] == [
        "ok",
        "not needed",
        "ok",
    ]


def test_a_runner_that_serves_another_run_holds_the_lock(sshd: LoopbackServer, tmp_path: Path) -> None:
    options = sshd.options(tmp_path / "there")
    remote = RemoteRunner(load_profile("host"), options)
    try:
        found = diagnoses_at(options, "host")
        verdict_of(found["lock holder"], "failed", "serves another run", "kill ")
        verdict_of(found["runner"], "unknown", "lock holder")
    finally:
        remote.close()
    assert diagnoses_at(options, "host")["lock holder"].verdict == "ok"


def test_an_unreachable_board_ends_the_examination() -> None:
    found = diagnoses_at(SshOptions("127.0.0.1", free_port()))
    assert list(found) == ["reachable"]
    verdict_of(found["reachable"], "failed", "refused", "SSH server")


def test_a_connection_lost_on_the_way_is_a_finding(
    sshd: LoopbackServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cut(link: object) -> dict[str, str]:
        raise BoardError("pi@there: cannot run a command: connection lost")

    monkeypatch.setattr("microbench.doctor.examination.probe", cut)
    found = diagnoses_at(sshd.options(tmp_path / "there"))
    assert list(found) == ["reachable", "key", "connection"]
    verdict_of(found["connection"], "failed", "connection lost")


def test_the_jump_host_is_what_must_be_reachable(sshd: LoopbackServer) -> None:
    there = SshOptions("board.invalid", jump=SshOptions("127.0.0.1", sshd.port))
    verdict_of(check_reachable(there), "ok", "on the way to board.invalid")
    gone = dataclasses.replace(there, jump=SshOptions("127.0.0.1", free_port()))
    verdict_of(check_reachable(gone), "failed", "on the way to board.invalid")


def test_a_key_that_nobody_confirmed_and_one_that_is_refused(sshd: LoopbackServer, tmp_path: Path) -> None:
    unknown = sshd.options(tmp_path / "there", known_hosts_path=tmp_path / "none")
    make_key(tmp_path / "stranger")
    refused = sshd.options(tmp_path / "there", key_path=tmp_path / "stranger")
    for options, text in ((unknown, "host key is unknown"), (refused, "authorized_keys")):
        found = diagnoses_at(options)
        assert list(found) == ["reachable", "key"]
        verdict_of(found["key"], "failed", text)
    assert not (tmp_path / "there").exists()
