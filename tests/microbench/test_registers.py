"""Launches by the V3D block's registers, with a thread of the test as the block."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from codegen.engines.cpu.toolchain import compile_executable
from microbench.runner.build import SOURCE_DIRECTORY, c_files
from microbench.runner.frames import Fault
from microbench.virtual.build import THIS_MACHINE
from tests.microbench.v3d_registers import DBQITE, L2CACTL, SLCACTL, V3dRegisters

LAUNCHER = r"""
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

#include "peripherals.h"
#include "registers.h"
#include "requests.h"

static long sleeps, longest_ns;

int nanosleep(const struct timespec *wanted, struct timespec *left)
{
    ++sleeps;
    longest_ns = wanted->tv_nsec > longest_ns ? wanted->tv_nsec : longest_ns;
    return clock_nanosleep(CLOCK_MONOTONIC, 0, wanted, left);
}

int fail(backend_message *why, int fault, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(why->text, sizeof why->text, format, arguments);
    va_end(arguments);
    return fault;
}

static int launch(char **arguments)
{
    static uint32_t control[2 * 256];
    static backend_message why;
    const int file = open(arguments[1], O_RDWR);
    void *registers = mmap(NULL, V3D_REGISTER_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    for (uint32_t i = 0; i < 256; ++i) {
        control[2 * i] = 0xc0001000u + 64 * i;
        control[2 * i + 1] = 0xc0008000u + 8 * i;
    }
    const register_launch what = {control, (uint32_t)atoi(arguments[2]), atof(arguments[3])};
    double time_s = 0.0;
    const int fault = registers == MAP_FAILED ? 99 : registers_launch(registers, &what, &time_s, &why);
    printf("%d|%.9g|%ld|%ld|%s", fault, time_s, sleeps, longest_ns, why.text);
    return 0;
}

/* The address of a bus address: map RANGES_FILE CHILD_CELLS PARENT_CELLS SIZE_CELLS BUS */
static int map(char **arguments)
{
    static uint8_t ranges[4096];
    FILE *file = fopen(arguments[1], "rb");
    const size_t got = file ? fread(ranges, 1, sizeof ranges, file) : 0;
    uint32_t cells[3];
    for (int i = 0; i < 3; ++i)
        cells[i] = (uint32_t)atoi(arguments[2 + i]);
    printf("%llx", (unsigned long long)peripheral_address(ranges, got, cells, strtoull(arguments[5], NULL, 0)));
    return 0;
}

int main(int argc, char **argv) { return argc == 7 ? map(argv + 1) : launch(argv + 1); }
"""


@dataclass(frozen=True)
class Launched:
    fault: int
    time_s: float
    sleeps: int
    longest_ns: int
    text: str


@pytest.fixture(scope="module")
def launcher() -> Path:
    sources = c_files(SOURCE_DIRECTORY / "mailbox")
    wanted = {
        name: sources[name] for name in ("registers.c", "registers.h", "peripherals.c", "peripherals.h")
    }
    for header in ("backend.h", "protocol.h", "requests.h", "wire.h"):
        wanted[header] = (SOURCE_DIRECTORY / header).read_text()
    flags = ("-std=c11", "-O2", "-Wall", "-Wextra", "-Werror")
    return compile_executable({**wanted, "launcher.c": LAUNCHER}, THIS_MACHINE, flags)


def launched(launcher: Path, block: V3dRegisters, num_qpus: int, limit_s: float = 60.0) -> Launched:
    said = subprocess.run(
        [launcher, "launch", block.path, str(num_qpus), str(limit_s)],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    ).stdout
    fault, time_s, sleeps, longest_ns, text = said.split("|", 4)
    return Launched(int(fault), float(time_s), int(sleeps), int(longest_ns), text)


def requests(count: int) -> list[tuple[int, int]]:
    return [(0xC0001000 + 64 * i, 0xC0008000 + 8 * i) for i in range(count)]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "registers").touch()
    return tmp_path / "registers"


@pytest.mark.parametrize("num_qpus", [1, 12])
def test_every_qpu_gets_its_program_and_all_are_waited_for(launcher: Path, file: Path, num_qpus: int) -> None:
    with V3dRegisters(file) as block:
        done = launched(launcher, block, num_qpus)
    assert (done.fault, done.text) == (0, "")
    assert block.requests == requests(num_qpus)
    assert done.time_s > 0.0
    assert block.resets == 1
    assert (block.read(L2CACTL), block.read(SLCACTL), block.read(DBQITE)) == (4, 0x0F0F0F0F, 0)


def test_what_an_earlier_program_left_in_the_counts_is_not_taken_for_its_end(
    launcher: Path, file: Path
) -> None:
    with V3dRegisters(file, left_behind=0x000C0C85) as block:
        assert launched(launcher, block, 12).fault == 0
    assert block.requests == requests(12)


def test_more_programs_than_the_queue_is_deep_wait_for_room(launcher: Path, file: Path) -> None:
    with V3dRegisters(file) as block:
        assert launched(launcher, block, 64).fault == 0
    assert block.requests == requests(64)
    assert block.longest_queue <= 16


def test_programs_that_do_not_end_are_a_stop_that_says_how_many_did(launcher: Path, file: Path) -> None:
    with V3dRegisters(file, ends=5) as block:
        stopped = launched(launcher, block, 12, limit_s=1.0)
        assert stopped.fault == Fault.STOPPED
        assert stopped.text == "5 of 12 QPU programs ended within 1 s"
        block.wait_for_resets(2)  # what waits in the queue does not start any more


def test_the_cpu_sleeps_while_the_qpus_work_and_the_steps_are_bounded(launcher: Path, file: Path) -> None:
    with V3dRegisters(file, ends=0) as block:
        stopped = launched(launcher, block, 1, limit_s=1.0)
    assert stopped.sleeps > 10
    assert stopped.longest_ns == 500_000


@pytest.mark.parametrize("identity", [0, 0xFFFFFFFF, 0xDEADBEEF, 0x01443356])
def test_a_block_without_power_is_recognised_by_its_identity(
    launcher: Path, file: Path, identity: int
) -> None:
    with V3dRegisters(file, identity=identity) as block:
        refused = launched(launcher, block, 12)
    assert refused.fault == Fault.BOARD
    assert f"identity reads as 0x{identity:08x}" in refused.text and "vc4-kms-v3d" in refused.text
    assert block.requests == [] and block.resets == 0


def test_an_overflow_of_the_queue_is_seen(launcher: Path, file: Path) -> None:
    with V3dRegisters(file, overflows_at=3) as block:
        refused = launched(launcher, block, 12)
    assert refused.fault == Fault.BOARD
    assert "queue of requests overflowed" in refused.text and "mailbox" in refused.text
    assert len(block.requests) == 3


def test_a_block_that_takes_no_requests_is_named_and_not_waited_for_for_ever(
    launcher: Path, file: Path
) -> None:
    with V3dRegisters(file, takes=2) as block:
        refused = launched(launcher, block, 12, limit_s=0.3)
    assert refused.fault == Fault.BOARD
    assert "does not take a request: no reaction in time" in refused.text


@pytest.mark.parametrize("num_qpus", [0, 256])
def test_counts_that_the_status_cannot_hold_are_refused(launcher: Path, file: Path, num_qpus: int) -> None:
    with V3dRegisters(file) as block:
        assert launched(launcher, block, num_qpus).fault == Fault.CANDIDATE
    assert block.requests == []


RANGES = {
    "bcm2835": ((1, 1, 1), "7e000000 20000000 02000000", 0x20C00000),
    "bcm2837": ((1, 1, 1), "7e000000 3f000000 01000000 40000000 40000000 00001000", 0x3FC00000),
    "bcm2711": ((1, 2, 1), "7e000000 00000000 fe000000 01800000", 0xFEC00000),
    "two cells each": ((2, 2, 2), "0 7e000000 1 0 0 2000000", 0x100C00000),
    "another range": ((1, 1, 1), "7c000000 fc000000 02000000", 0),
    "cut short": ((1, 1, 1), "7e000000 20000000", 0),
    "nothing": ((1, 1, 1), "", 0),
}


def address(launcher: Path, file: Path, cells: tuple[int, ...], words: list[int], bus: int) -> int:
    file.write_bytes(b"".join(word.to_bytes(4, "big") for word in words))
    arguments: list[str | Path] = [launcher, "map", file, *map(str, cells), hex(bus)]
    return int(subprocess.run(arguments, capture_output=True, text=True, check=True).stdout, 16)


@pytest.mark.parametrize("name", RANGES)
def test_the_peripherals_are_where_the_device_tree_says(launcher: Path, file: Path, name: str) -> None:
    cells, words, expected = RANGES[name]
    assert address(launcher, file, cells, [int(word, 16) for word in words.split()], 0x7EC00000) == expected
