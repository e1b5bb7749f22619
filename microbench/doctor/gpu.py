"""Checks of what stands between a program and the QPUs of a Raspberry Pi: each judges text read there.

The reasons are those known to stop QPU programs on real systems: no /dev/vcio or /dev/mem, or no right to them, a
64-bit kernel, the overlay vc4-kms-v3d (the firmware refuses QPU calls then), too small a gpu_mem.
"""

from __future__ import annotations

import re

from microbench.boards.ssh_sudo import REMEDY
from microbench.doctor.diagnosis import Diagnosis, doubtful, failed, in_order, not_needed, untold

AS_ROOT = (
    "start the runner as root: with --sudo (a named board: sudo = true), or as root over SSH; "
    f"for --sudo, {REMEDY}"
)
CONFIG_FILE = "config.txt (/boot/firmware/config.txt, older systems /boot/config.txt)"
_OVERLAY = re.compile(r"dtoverlay\s*=\s*(vc4-f?kms-v3d(?:-pi4)?)\s*(?:,|$)")
_SECTION = re.compile(r"\[([^\]]*)\]")
_GPU_MEMORY = re.compile(r"gpu=(\d+)M")

# Sections of config.txt named after models, and how those models call themselves.
_MODELS = {
    "pi0": r"Pi Zero", "pi0w": r"Pi Zero W", "pi02": r"Pi Zero 2", "pi1": r"Pi (1 )?Model [AB]|Compute Module Rev",
    "pi2": r"Pi 2", "pi3": r"Pi 3|Compute Module 3", "pi3+": r"Pi 3 Model [AB] Plus", "pi4": r"Pi 4|Pi 400|Module 4",
    "pi400": r"Pi 400", "cm4": r"Compute Module 4", "cm4s": r"Compute Module 4S", "pi5": r"Pi 5|Pi 500|Module 5",
}  # fmt: skip


def is_root(user: str) -> bool:
    """`user`: the name, then the number."""
    return user.split()[-1:] == ["0"]


def check_vcio(listing: str, user: str, as_root: bool) -> Diagnosis:
    """`listing`: `ls -l` of the device and the word `usable`; `user`: the name, then the number; `as_root`: the runner
    is started as root, whoever asks.
    """
    check = "/dev/vcio"
    words = listing.split()
    if not words:
        return failed(
            check, "there is none: no way to the firmware's mailbox",
            "run on a Raspberry Pi with Raspberry Pi OS, whose kernel makes it (driver vcio)",
        )  # fmt: skip
    if as_root or "usable" in words:
        return in_order(check, "there, readable and writable" + (" for root" if as_root else ""))
    return failed(check, f"there, but {_name(user)} may not use it ({words[0]})", AS_ROOT)


def check_memory_device(listing: str, lockdown: str, user: str, as_root: bool) -> Diagnosis:
    """`listing`: `ls -l` of /dev/mem, which the kernel opens for root alone, whatever its file's rights (it asks for
    CAP_SYS_RAWIO); `lockdown`: of the kernel, the chosen one in brackets.
    """
    check = "/dev/mem"
    if not listing:
        return failed(
            check, "there is none: no way to GPU memory", "take the kernel of Raspberry Pi OS, which has it"
        )
    if "[integrity]" in lockdown or "[confidentiality]" in lockdown:
        return failed(
            check, f"the kernel is locked down ({lockdown}): nobody may map it",
            "remove lockdown= from cmdline.txt beside config.txt and restart the board",
        )  # fmt: skip
    if as_root or is_root(user):
        return in_order(check, "there, and the runner is root's")
    return failed(check, f"there, and the kernel lets root alone open it, not {_name(user)}", AS_ROOT)


def _name(user: str) -> str:
    return (user.split() or ["this user"])[0]


def check_overlay(driver: str, config: str, model: str) -> Diagnosis:
    """`driver`: `loaded` where the kernel runs vc4; `config`: config.txt, whose sections may be for other models."""
    check = "vc4-kms-v3d overlay"
    overlays = applying_overlays(config, model)
    if overlays:
        return failed(
            check, f"config.txt has dtoverlay={overlays[0]}: the firmware refuses QPU programs",
            f"put # before that line of {CONFIG_FILE} and restart the board",
        )  # fmt: skip
    if driver == "loaded":
        return failed(
            check, "the kernel's driver vc4 is loaded: the firmware refuses QPU programs",
            f"remove dtoverlay=vc4-kms-v3d from every file that {CONFIG_FILE} includes, and restart the board",
        )  # fmt: skip
    if not config:
        return untold(check, "config.txt cannot be read; the driver vc4 is not loaded", "make it readable")
    return in_order(check, "not in config.txt, driver vc4 not loaded")


def applying_overlays(config: str, model: str) -> tuple[str, ...]:
    """The overlays of the GPU's kernel driver that config.txt loads on this model.

    A section applies unless it is for another model, or `none`; filters that ask other things count as passed.
    """
    found: list[str] = []
    applies = True
    for line in map(str.strip, config.splitlines()):
        section = _SECTION.fullmatch(line)
        if section:
            applies = _applies(section[1], model)
        elif applies and (overlay := _OVERLAY.match(line)):
            found.append(overlay[1])
    return tuple(found)


def check_gpu_memory(answer: str, needed_bytes: int) -> Diagnosis:
    """`answer`: of `vcgencmd get_mem gpu`; `needed_bytes`: what plans for this profile may take."""
    check = "gpu_mem"
    needed = needed_bytes >> 20
    match = _GPU_MEMORY.fullmatch(answer.strip())
    if not match:
        return untold(check, "vcgencmd does not tell", f"see that gpu_mem={needed} is in {CONFIG_FILE}")
    if int(match[1]) < needed:
        return failed(
            check, f"{match[1]} MB; plans for this profile may take {needed} MB",
            f"set gpu_mem={needed} in {CONFIG_FILE} and restart the board",
        )  # fmt: skip
    return in_order(check, f"{match[1]} MB, {needed} MB are needed")


def check_kernel(machine: str, release: str, word_bits: str, has_qpus: bool) -> Diagnosis:
    """The kernel's word size is the machine's name; programs' word size is what C's `long` has there."""
    check = "kernel"
    if not machine or not release:
        return untold(check, "uname does not tell", "see that the board's shell and uname work for this user")
    kernel_bits = 64 if machine.endswith("64") else 32
    programs = f", {word_bits}-bit programs" if word_bits.isdecimal() else ""
    said = f"Linux {release}, {kernel_bits} bit{programs}"
    if has_qpus and machine == "aarch64":
        return failed(
            check, f"{said}: the QPUs are out of reach under a 64-bit kernel",
            f"set arm_64bit=0 in {CONFIG_FILE} and restart, or take a profile without QPUs (pi-3-64)",
        )  # fmt: skip
    if word_bits.isdecimal() and int(word_bits) != kernel_bits:
        return doubtful(
            check,
            f"{said}: two word sizes",
            "install a system of one word size where a program fails to start",
        )
    return in_order(check, said)


def without_qpus(check: str) -> Diagnosis:
    return not_needed(check, "the profile has no QPUs")


def _applies(section: str, model: str) -> bool:
    if section == "none":
        return False
    pattern = _MODELS.get(section)
    return pattern is None or not model or re.search(pattern, model) is not None
