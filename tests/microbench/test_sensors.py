"""What a runner reads of its machine: the firmware's answers, the kernel's files, who the machine is."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from codegen.engines.cpu.toolchain import compile_executable
from microbench.boards.local_machine import hash_of_serial
from microbench.runner.build import SOURCE_DIRECTORY
from microbench.runner.messages import RunnerInfo
from microbench.runner.readings import ReadingState
from microbench.virtual.build import THIS_MACHINE

SOURCES = ("conditions", "firmware", "sensors", "identity")

SPOKESMAN = r"""
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include "conditions.h"
#include "identity.h"

void put_u32(writer *to, uint32_t value) { (void)to, (void)value; }
void put_f64(writer *to, double value) { (void)to, (void)value; }

/* Stands in for the firmware: answers what it knows; the rate of the V3D cannot be measured, the voltage not read. */
int ioctl(int device, unsigned long call, ...)
{
    va_list rest;
    va_start(rest, call);
    uint32_t *message = va_arg(rest, uint32_t *);
    va_end(rest);
    message[1] = 0x80000000u;
    message[4] = 0x80000008u;
    if (message[2] == 0x30047 && message[5] == 3)
        message[6] = 699999000;
    else if (message[2] == 0x30002 && message[5] == 5)
        message[6] = 250000000;
    else if (message[2] == 0x30004 && message[5] == 3)
        message[6] = 1000000000;
    else if (message[2] == 0x30006)
        message[6] = 48312;
    else if (message[2] == 0x30046)
        message[5] = 0x50005, message[4] = 0x80000004u;
    else if (message[2] == 0x30003)
        message[1] = 0x80000001u;
    else
        message[4] = 8;
    return device < 0 ? -1 : 25;
}

int main(int argc, char **argv)
{
    const char *root = argc > 1 ? argv[1] : "";
    char system[4096], cpu[256], board[256], serial[256];
    snprintf(system, sizeof system, "%s/sys", root);
    const conditions taken = read_conditions_of(system);
    for (int i = 0; i < READINGS; ++i)
        printf("%d %.6g\n", (int)taken.states[i], taken.values[i]);
    printf("%.6g\n", highest_cpu_clock_hz(system));
    read_cpu_model(root, cpu, sizeof cpu);
    read_board_model(root, board, sizeof board);
    read_serial(root, serial, sizeof serial);
    printf("%s\n%s\n%s\n", cpu, board, serial);
    return 0;
}
"""


def spokesman(device: str) -> Path:
    """The runner's own readings in a program of the test's; `device` is what it takes for the firmware's."""
    sources = {
        name: (SOURCE_DIRECTORY / name).read_text()
        for name in (*(f"{stem}{end}" for stem in SOURCES for end in (".c", ".h")), "wire.h")
    }
    flags = ("-std=gnu11", "-Wall", "-Wextra", "-Werror", f'-DFIRMWARE_DEVICE="{device}"')
    return compile_executable({**sources, "spokesman.c": SPOKESMAN}, THIS_MACHINE, flags)


def said(device: str, root: Path) -> tuple[list[str], list[str]]:
    """Readings with the highest clock, and the three names."""
    result = subprocess.run([spokesman(device), root], capture_output=True, text=True, check=True)
    lines = result.stdout.split("\n")
    return lines[:6], lines[6:9]


def write(root: Path, files: Mapping[str, bytes]) -> None:
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)


KERNEL = {
    "sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq": b"600000\n",
    "sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_max_freq": b"1200000\n",
    "sys/devices/system/cpu/cpu3/cpufreq/scaling_cur_freq": b"1000000\n",
    "sys/devices/system/cpu/cpu12/cpufreq/scaling_cur_freq": b"<unknown>\n",
    "sys/devices/system/cpu/cpufreq/scaling_cur_freq": b"9000000\n",
    "sys/class/thermal/thermal_zone0/temp": b"48312\n",
    "sys/class/thermal/thermal_zone1/temp": b"-2000\n",
    "sys/class/thermal/thermal_zone2/temp": b"",
    "sys/devices/platform/soc/soc:firmware/get_throttled": b"50005\n",
}
NONE = ReadingState.NO_FIRMWARE


def test_the_firmware_is_judged_by_its_response_words(tmp_path: Path) -> None:
    readings, _ = said("/dev/zero", tmp_path)
    assert readings == ["0 2.5e+08", "0 6.99999e+08", "0 48.312", "0 327685", "3 0", "1e+09"]


def test_without_firmware_the_kernel_tells(tmp_path: Path) -> None:
    write(tmp_path, KERNEL)
    readings, _ = said("/dev/none", tmp_path)
    assert readings == [f"{NONE} 0", "0 1e+09", "0 48.312", "0 327685", f"{NONE} 0", "1.2e+09"]


def test_the_firmware_comes_first_and_the_kernel_knows_the_highest_clock(tmp_path: Path) -> None:
    write(tmp_path, {**KERNEL, "sys/class/thermal/thermal_zone0/temp": b"90000\n"})
    readings, _ = said("/dev/zero", tmp_path)
    assert readings[2] == "0 48.312" and readings[5] == "1.2e+09"


@pytest.mark.parametrize(
    "files",
    [
        {},
        {name: b"" for name in KERNEL},
        {name: b"unknown\n" for name in KERNEL},
        {"sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq": b"0\n"},
    ],
)
def test_what_nobody_tells_stays_unknown(tmp_path: Path, files: Mapping[str, bytes]) -> None:
    write(tmp_path, files)
    readings, _ = said("/dev/none", tmp_path)
    assert readings == [f"{NONE} 0"] * 5 + ["0"]


CPUINFO = (
    b"processor\t: 0\nmodel name\t: ARMv6-compatible\n\nHardware\t: BCM2835\nSerial\t\t: 00000000abcd1234\n"
)


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, ["unknown", "", ""]),
        (
            {
                "proc/device-tree/model": b"Raspberry Pi Zero W Rev 1.1\0",
                "proc/device-tree/serial-number": b"10000000abcd1234\0",
                "proc/cpuinfo": CPUINFO,
                "etc/machine-id": b"ff\n",
            },
            ["ARMv6-compatible", "Raspberry Pi Zero W Rev 1.1", "10000000abcd1234"],
        ),
        ({"proc/cpuinfo": CPUINFO}, ["ARMv6-compatible", "", "00000000abcd1234"]),
        (
            {"proc/cpuinfo": CPUINFO.replace(b"abcd1234", b"00000000"), "etc/machine-id": b"0123abcd\n"},
            ["ARMv6-compatible", "", "0123abcd"],
        ),
        ({"proc/cpuinfo": b"Serial", "etc/machine-id": b""}, ["unknown", "", ""]),
    ],
)
def test_a_machine_is_known_by_its_board_and_number(
    tmp_path: Path, files: Mapping[str, bytes], expected: list[str]
) -> None:
    write(tmp_path, files)
    assert said("/dev/none", tmp_path)[1] == expected


def info(board: str = "", cpu: str = "ARMv6-compatible", serial: str = "10000000abcd1234") -> RunnerInfo:
    return RunnerInfo(4, "armv6l", "6.1.21+", cpu, "none", "host", "runner 1", 0.0, 1, board, serial, 1e9)


def test_a_serial_number_is_not_shown() -> None:
    assert "abcd1234" not in repr(info())
    hashed = hash_of_serial(info().serial)
    assert len(hashed) == 16 and hashed != hash_of_serial("10000000abcd1235")
    assert hash_of_serial("") == ""


def test_a_raspberry_pi_says_so() -> None:
    assert info("Raspberry Pi Zero W Rev 1.1").is_raspberry_pi
    assert info(cpu="Raspberry Pi 2 Model B Rev 1.1").is_raspberry_pi
    assert not info("Orange Pi One").is_raspberry_pi
    assert not info().is_raspberry_pi
