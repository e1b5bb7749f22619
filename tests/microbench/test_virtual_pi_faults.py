"""What can happen to a virtual Pi: it reboots, its card is full, its key is another, it throttles, its link fails."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from microbench.boards.ssh import SshBoard
from microbench.boards.ssh_link import SshLink
from microbench.errors import BoardError
from microbench.options import SshOptions
from microbench.profile import load_profile
from microbench.protocol import throttle_advice
from microbench.runner.client import BoardFullError
from microbench.virtual_pi.files import HOME, STATE
from microbench.virtual_pi.firmware_script import (
    SINCE_BOOT,
    THROTTLED,
    UNDER_VOLTAGE,
    normal_conditions,
    write_conditions,
)
from microbench.virtual_pi.machine import machine_of
from microbench.virtual_pi.server import VirtualPi
from tests.microbench.gpu_jobs import sound_gpu_job
from tests.microbench.link_proxy import LinkProxy
from tests.microbench.measured import sound_cpu_job

pytestmark = pytest.mark.needs("virtual pi")

CARD_BYTES = 16 << 20
GPU, CPU = sound_gpu_job().job, sound_cpu_job().job
BLOCKS_AT = 12  # of the firmware's state: what memory is whose
WAIT_S = 30.0
LAUNCHES = 2000  # for long enough that something can happen meanwhile


@pytest.fixture(scope="module")
def pi() -> Iterator[VirtualPi]:
    with VirtualPi(load_profile("pi-zero")) as started:
        yield started


@pytest.fixture
def board(pi: VirtualPi) -> Iterator[SshBoard]:
    with SshBoard(pi.profile, pi.options()) as opened:
        yield opened


def through(pi: VirtualPi, proxy: LinkProxy, place: Path) -> SshOptions:
    """The board behind a proxy: the same key under another port."""
    known = place / "known_hosts"
    text = (pi.directory / "known_hosts").read_text()
    known.write_text(text.replace(f":{pi.port} ", f":{proxy.port} "))
    return pi.options(port=proxy.port, known_hosts_path=known)


def test_a_reboot_between_two_measurements_is_gone_over(pi: VirtualPi, board: SshBoard) -> None:
    before = [board.measure(job).times_s for job in (GPU, CPU)]
    pi.reboot()
    assert [board.measure(job).times_s for job in (GPU, CPU)] == before


def test_a_reboot_ends_what_runs_on_the_board_and_nobody_who_names_its_files(
    pi: VirtualPi, board: SshBoard
) -> None:
    board.measure(CPU)
    waiting = (sys.executable, "-c", "input()", str(pi.directory / "user_key"))
    with subprocess.Popen(waiting, stdin=subprocess.PIPE) as client:
        runner = runner_of(pi)
        assert Path(f"/proc/{runner}").exists()
        pi.reboot()
        assert not Path(f"/proc/{runner}/exe").exists()
        assert client.poll() is None
        client.communicate(b"\n")


def test_a_reboot_within_measurements_changes_none(pi: VirtualPi, board: SshBoard) -> None:
    expected = board.measure(GPU).times_s
    off = threading.Timer(0.3, pi.reboot)
    off.start()
    until_s = time.monotonic() + 3.0
    while time.monotonic() < until_s or off.is_alive():
        assert board.measure(GPU).times_s == expected
    off.join()


def test_a_link_that_breaks_is_made_anew(pi: VirtualPi, tmp_path: Path) -> None:
    with LinkProxy(pi.port) as proxy, SshBoard(pi.profile, through(pi, proxy, tmp_path)) as board:
        expected = board.measure(GPU).times_s
        proxy.reset()
        assert board.measure(GPU).times_s == expected
        proxy.after(200, "reset")
        assert board.measure(GPU).times_s == expected


def test_a_frozen_runner_of_ones_own_is_taken_over(pi: VirtualPi, tmp_path: Path) -> None:
    """The board does not know that the link is dead: its runner holds the lock, and is known by its program."""
    with LinkProxy(pi.port) as proxy:
        options = dataclasses.replace(through(pi, proxy, tmp_path), silence_s=2.0)
        with SshBoard(pi.profile, options) as board:
            expected = board.measure(GPU).times_s
            proxy.freeze()
            thaw = threading.Timer(4.0, proxy.thaw)
            thaw.start()
            assert board.measure(GPU).times_s == expected
            thaw.join()


def test_another_host_key_is_refused_and_the_old_one_again_taken(tmp_path: Path) -> None:
    with VirtualPi(load_profile("pi-zero")) as pi, SshBoard(pi.profile, pi.options()) as board:
        board.measure(GPU)
        pi.change_host_key()
        pi.reboot()
        with pytest.raises(BoardError, match="host key has CHANGED"):
            board.measure(GPU)


@pytest.mark.needs("mountable tmpfs")
def test_a_full_card_is_named_and_room_is_all_it_takes() -> None:
    with VirtualPi(load_profile("pi-zero"), card_bytes=CARD_BYTES) as pi:
        link = SshLink(pi.options())
        link.run(("sh", "-c", "head -c 100M /dev/zero >filler 2>/dev/null || :"))
        with pytest.raises(BoardFullError, match="the disk is full"):
            SshBoard(pi.profile, pi.options())
        link.run(("rm", "filler"))
        link.close()
        with SshBoard(pi.profile, pi.options()) as board:
            board.measure(GPU)
        assert not list((pi.directory / HOME).iterdir()), "the card is in the board's namespace alone"


def test_throttling_and_under_voltage_show_in_times_and_conditions(pi: VirtualPi, board: SshBoard) -> None:
    normal = normal_conditions(pi.profile, machine_of("pi-zero"))
    flags = UNDER_VOLTAGE | THROTTLED
    throttled = dataclasses.replace(
        normal, v3d_clock_hz=normal.v3d_clock_hz / 2, throttle_flags=flags | flags << SINCE_BOOT
    )
    alone = board.measure(GPU)
    done = int.from_bytes((pi.directory / STATE).read_bytes()[:4], "little")
    # before the first repeat one run tells how long it takes, and one warms up
    write_conditions(pi.directory, {0: normal, done + 3: throttled})
    try:
        measured = board.measure(dataclasses.replace(GPU, repeats=2))
    finally:
        write_conditions(pi.directory, {0: normal})
    assert throttle_advice(alone.conditions) is None
    assert throttle_advice(measured.conditions) is not None
    assert measured.conditions[-1].gpu_clock_hz == normal.v3d_clock_hz / 2
    overhead_s = pi.profile.v3d_value("launch_overhead_s")
    assert measured.times_s[0] == alone.times_s[0]
    assert 1.5 < (measured.times_s[1] - overhead_s) / (alone.times_s[0] - overhead_s) < 2.1


def test_a_killed_runner_leaves_no_gpu_memory_taken(pi: VirtualPi) -> None:
    with SshBoard(pi.profile, pi.options()) as board:
        kill = threading.Timer(0.5, kill_runner, (pi,))
        kill.start()
        measured = board.measure(dataclasses.replace(GPU, repeats=LAUNCHES))
        kill.join()
    assert len(set(measured.times_s)) == 1
    until_s = time.monotonic() + WAIT_S
    while any((pi.directory / STATE).read_bytes()[BLOCKS_AT:]) and time.monotonic() < until_s:
        time.sleep(0.02)
    assert not any((pi.directory / STATE).read_bytes()[BLOCKS_AT:])


def kill_runner(pi: VirtualPi) -> None:
    with contextlib.suppress(ValueError, IndexError, ProcessLookupError):
        os.kill(runner_of(pi), signal.SIGKILL)


def runner_of(pi: VirtualPi) -> int:
    """The process that holds the board's lock."""
    return int((pi.directory / HOME / ".cache/explore-edge/lock").read_text().split()[0])


def test_nothing_of_a_closed_board_is_left() -> None:
    with VirtualPi(load_profile("pi-zero")) as pi, SshBoard(pi.profile, pi.options()) as board:
        board.measure(CPU)
        pi.close()
        mark = str(pi.directory).encode()
        assert not pi.directory.exists()
    commands = []
    for place in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            commands.append(place.read_bytes())
    assert not [words for words in commands if mark in words]
