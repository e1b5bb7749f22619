"""The files of a virtual Pi: all that it is stands in one directory."""

from __future__ import annotations

import os
from pathlib import Path

from microbench.boards.stand_in import Habits, board_file
from microbench.profile import DeviceProfile
from microbench.virtual_pi.emulation import emulator_words, release_of, session_path
from microbench.virtual_pi.firmware_script import normal_conditions, write_conditions
from microbench.virtual_pi.machine import Machine, machine_of

HOME, SYSROOT, LOG, SHELL, CONSTANTS = "home", "sysroot", "log", "shell", "board.constants"
STATE, RECORD, MEMORY = "firmware.state", "run/explore-edge.gpu", "dev/mem"
MEMORY_BYTES = 1 << 30  # of the ARM's address space; what nobody wrote takes no room
STATE_BYTES = 4096
_CPU = "sys/devices/system/cpu/cpu0/cpufreq"
_CLOCKS = ("cpuinfo_max_freq", "scaling_cur_freq", "scaling_max_freq")

# The words after `-c` are the client's; `internal-sftp` is what the configuration calls the file transfer.
_SHELL = """\
#!/bin/sh
cd {home} || exit 1
case "$SSH_ORIGINAL_COMMAND" in
{sftp}) exec {sftp} ;;
esac
exec env -i HOME={home} USER={user} PATH={board}/bin:/usr/sbin:/usr/bin:/sbin:/bin \\
    VIRTUAL_PI={board} LD_PRELOAD={session} \\
    /bin/sh -c "${{SSH_ORIGINAL_COMMAND:-exit 0}}"
"""


# The firmware's own program, and what a 32-bit system says of itself.
_PROGRAMS = {
    "vcgencmd": """\
#!/bin/sh
told() {{ sed -n "s/^$1 \\([^ ]*\\) 0$/\\1/p" {board}/conditions; }}
whole() {{ printf '%.0f' "$(told "$1")"; }}
case "$1 $2" in
"get_mem gpu") echo gpu={gpu_megabytes}M ;;
"measure_clock arm") echo "frequency(48)=$(whole arm_clock_hz)" ;;
"measure_clock v3d") echo "frequency(46)=$(whole v3d_clock_hz)" ;;
"get_throttled ") printf 'throttled=0x%x\\n' "$(whole throttle_flags)" ;;
*) exit 1 ;;
esac
""",
    "getconf": """\
#!/bin/sh
[ "$1" = LONG_BIT ] && echo {bits}
""",
}


def make_board(board: Path, profile: DeviceProfile, habits: Habits, user: str, sftp: Path) -> None:
    """A machine, and what its sessions begin with. Raises as `make_machine`."""
    machine = make_machine(board, profile, habits)
    _write_programs(board, profile, machine, user, sftp)


def make_machine(board: Path, profile: DeviceProfile, habits: Habits) -> Machine:
    """What programs are run with, booted; raises BoardError for a profile of no Pi, ToolchainError where what it needs
    cannot be compiled.
    """
    machine = machine_of(profile.name)
    constants = board_file(profile, habits) if profile.v3d else ""
    release = release_of(profile, constants)
    (board / HOME).mkdir(exist_ok=True)
    _write_system(board / SYSROOT, profile, machine)
    words = "\n".join(emulator_words(profile, board, release))
    texts = {"machine": machine.machine, "release": release, "emulator": words, CONSTANTS: constants}
    for name, text in texts.items():
        if text:
            (board / name).write_text(text, encoding="utf-8")
    write_conditions(board, {0: normal_conditions(profile, machine)})
    boot(board)
    return machine


def _write_system(root: Path, profile: DeviceProfile, machine: Machine) -> None:
    """What the kernel shows of the machine, below the emulator's root."""
    khz = str(round(profile.cpu_cost("clock_hz") / 1e3)).encode()
    contents = {
        **dict.fromkeys(("dev/vcio", MEMORY, RECORD), b""),
        **dict.fromkeys((f"{_CPU}/{name}" for name in _CLOCKS), khz),
        f"{_CPU}/scaling_governor": b"performance",
        "boot/firmware/config.txt": f"gpu_mem={profile.gpu_memory_bytes >> 20}\n".encode(),
        "proc/cpuinfo": machine.cpuinfo(profile.cores or 1).encode(),
        **{f"proc/device-tree/{name}": content for name, content in machine.device_tree().items()},
    }
    for name, content in contents.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    os.truncate(root / MEMORY, MEMORY_BYTES)


def _write_programs(board: Path, profile: DeviceProfile, machine: Machine, user: str, sftp: Path) -> None:
    """Those of the board that are no emulated ones, and what its sessions begin with."""
    (board / "bin").mkdir()
    told = {
        "bits": 64 if machine.machine == "aarch64" else 32,
        "gpu_megabytes": profile.gpu_memory_bytes >> 20,
    }
    places = {"board": board, "home": board / HOME, "user": user, "sftp": sftp, "session": session_path()}
    for name, text in {**{f"bin/{name}": text for name, text in _PROGRAMS.items()}, SHELL: _SHELL}.items():
        (board / name).write_text(text.format(**told, **places), encoding="utf-8")
        (board / name).chmod(0o700)


def boot(board: Path) -> None:
    """The firmware has given no memory away, and /run is empty."""
    (board / STATE).write_bytes(bytes(STATE_BYTES))
    (board / SYSROOT / RECORD).write_bytes(b"")
