"""What is read on a board to judge it: fixed commands and files, each answer as text, empty where there is none."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

_CPUFREQ = "/sys/devices/system/cpu/cpu0/cpufreq"

# Written here and nowhere else: no text from a user, a file or the board becomes a part of them.
PROBES: Mapping[str, str] = {
    "machine": "uname -m",
    "release": "uname -r",
    "word_bits": "getconf LONG_BIT",
    "model": "tr -d '\\000' </proc/device-tree/model",
    "user": "id -un; id -u",
    "vcio": "test -e /dev/vcio && ls -l /dev/vcio && test -r /dev/vcio && test -w /dev/vcio && echo usable",
    "mem": "ls -l /dev/mem",
    "lockdown": "cat /sys/kernel/security/lockdown",
    "vc4": "test -d /sys/module/vc4 && echo loaded",
    "config": "cat /boot/firmware/config.txt || cat /boot/config.txt",
    "gpu_mem": "vcgencmd get_mem gpu",
    "cpu_clock": "vcgencmd measure_clock arm",
    "v3d_clock": "vcgencmd measure_clock v3d",
    "cpu_range": f"cat {_CPUFREQ}/scaling_cur_freq {_CPUFREQ}/scaling_max_freq",
    "governor": f"cat {_CPUFREQ}/scaling_governor",
    "throttled": "vcgencmd get_throttled || cat /sys/devices/platform/soc/soc:firmware/get_throttled",
    "space": "df -Pk .",
}
_SETTING = "PATH=$PATH:/usr/bin:/opt/vc/bin"  # older systems keep vcgencmd apart
_LOCK = 'cat "$1/lock" 2>/dev/null || :'
_COMMAND_LINE = '{ tr "\\000" " " <"/proc/$1/cmdline"; } 2>/dev/null || :'


class Link(Protocol):
    """Runs a short command there that must succeed; raises BoardError."""

    def run(self, arguments: tuple[str, ...]) -> str: ...


def probe(link: Link) -> dict[str, str]:
    """Every answer by the probe's name; raises BoardError only where the connection is lost."""
    return {name: link.run(("sh", "-c", _whole(text))) for name, text in PROBES.items()}


def lock_of(link: Link, directory: str) -> tuple[int | None, str]:
    """The process named in a runner's lock file, and its command line where it lives."""
    words = link.run(("sh", "-c", _LOCK, "sh", directory)).split()
    if not words or not words[0].isascii() or not words[0].isdecimal():
        return None, ""
    pid = int(words[0])
    return pid, link.run(("sh", "-c", _COMMAND_LINE, "sh", str(pid)))


def _whole(text: str) -> str:
    return f"{_SETTING}; {{ {text}; }} 2>/dev/null || :"
