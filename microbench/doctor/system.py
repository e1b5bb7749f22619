"""Checks of clocks, power, space and the lock of a board: each judges text read there."""

from __future__ import annotations

import re

from microbench.conditions import SINCE_BOOT_SHIFT, THROTTLE_FLAGS
from microbench.doctor.diagnosis import Diagnosis, doubtful, failed, in_order, untold

# A runner takes a few megabytes and a bundle with its weights tens: below the first nothing fits, below the second
# a search with many kernels may fill the card.
LEAST_SPACE_BYTES = 64 << 20
AMPLE_SPACE_BYTES = 512 << 20

_CLOCK = re.compile(r"frequency\(\d+\)=(\d+)")
_THROTTLED = re.compile(r"(?:throttled=0x)?([0-9a-fA-F]+)")
_GOVERNOR = "/sys/devices/system/cpu/cpu*/cpufreq/scaling_governor"


def check_clocks(cpu: str, v3d: str, cpu_range: str, governor: str) -> Diagnosis:
    """`cpu`, `v3d`: of `vcgencmd measure_clock`; `cpu_range`: kHz now and at most, a line each."""
    check = "clocks and governor"
    told = [_mhz("GPU", v3d), _mhz("CPU", cpu) or _now_of(cpu_range), _most_of(cpu_range)]
    said = ", ".join([*filter(None, told), f"governor {governor or 'unknown'}"])
    if governor == "performance":
        return in_order(check, said)
    remedy = f"on the board: echo performance | sudo tee {_GOVERNOR}"
    if not governor:
        return untold(check, said, "use a kernel with cpufreq, or compare clocks before and after measuring")
    return doubtful(check, f"{said}: the clock changes with load", remedy)


def check_throttling(answer: str) -> tuple[Diagnosis, Diagnosis]:
    """Now, and since boot, from the firmware's word of flags."""
    now, since = "throttling now", "throttling since boot"
    match = _THROTTLED.fullmatch(answer.strip())
    if not match:
        remedy = "see that vcgencmd works for this user (group video)"
        said = "the firmware does not tell of throttling or under-voltage"
        return untold(now, said, remedy), untold(since, said, remedy)
    word = int(match[1], 16)
    present, past = _flags(word), _flags(word >> SINCE_BOOT_SHIFT)
    return (
        failed(now, present, _power(present)) if present else in_order(now, "none, voltage sufficient"),
        doubtful(since, past, f"{_power(past)}; a restart clears the record")
        if past
        else in_order(since, "none, voltage was sufficient"),
    )


def check_space(answer: str) -> Diagnosis:
    """`answer`: of `df -Pk` for the file system that the runner is on."""
    check = "free space"
    lines = answer.splitlines()
    fields = lines[-1].split() if len(lines) > 1 else []
    if len(fields) < 6 or not fields[3].isdecimal():
        return untold(check, "df does not tell", "see that df works for this user")
    free = int(fields[3]) << 10
    said = f"{free >> 20} MiB"
    remedy = "delete what is not needed: on the board, .cache/explore-edge may go, it is made again"
    if free < LEAST_SPACE_BYTES:
        return failed(check, said, remedy)
    return doubtful(check, said, remedy) if free < AMPLE_SPACE_BYTES else in_order(check, said)


def check_lock(pid: int | None, command_line: str, directory: str, shared: bool) -> Diagnosis:
    """`shared`: runners with a simulator do not keep each other away. A process of another program is no holder: a
    runner is called with its directory.
    """
    check = "lock holder"
    if pid is None:
        return in_order(check, "none")
    if f" {directory} " not in command_line:
        return in_order(check, f"none (process {pid}, which had it, has ended)")
    if shared:
        return in_order(check, f"process {pid}; simulators share the board")
    return failed(
        check, f"process {pid} there serves another run",
        f"wait until that run ends, or end it there: kill {pid} (where it is root's: sudo kill {pid})",
    )  # fmt: skip


def _flags(word: int) -> str:
    return ", ".join(name for bit, name in THROTTLE_FLAGS.items() if word & bit)


def _power(flags: str) -> str:
    if "under-voltage" in flags:
        return "use a stronger power supply and a short, thick cable"
    return "cool the board: heat sink, fan, or pauses"


def _mhz(name: str, answer: str) -> str:
    match = _CLOCK.fullmatch(answer.strip())
    return f"{name} {int(match[1]) / 1e6:.0f} MHz" if match else ""


def _kilohertz(cpu_range: str) -> list[int]:
    return [int(word) for word in cpu_range.split() if word.isdecimal()]


def _now_of(cpu_range: str) -> str:
    found = _kilohertz(cpu_range)
    return f"CPU {found[0] / 1e3:.0f} MHz" if len(found) == 2 else ""


def _most_of(cpu_range: str) -> str:
    found = _kilohertz(cpu_range)
    return f"at most {found[1] / 1e3:.0f} MHz" if len(found) == 2 else ""
