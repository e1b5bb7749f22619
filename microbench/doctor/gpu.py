"""Checks of what stands between a program and the QPUs of a Raspberry Pi: each judges text read there.

The reasons are those known to stop QPU programs on real systems: no /dev/vcio or no right to it, a 64-bit kernel, the
overlay vc4-kms-v3d (the firmware refuses QPU calls then), too small a gpu_mem.
"""

from __future__ import annotations

import re

from microbench.doctor.diagnosis import Diagnosis, doubtful, failed, in_order, not_needed, untold

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


def check_vcio(listing: str, user: str) -> Diagnosis:
    """`listing`: `ls -l` of the device and the word `usable`; `user`: the name, then the groups."""
    check = "/dev/vcio"
    words = listing.split()
    if not words:
        return failed(
            check, "there is none: no way to the firmware's mailbox",
            "run on a Raspberry Pi with Raspberry Pi OS, whose kernel makes it (driver vcio)",
        )  # fmt: skip
    if "usable" in words:
        return in_order(check, "there, readable and writable")
    group = words[3] if len(words) > 3 else "its group"
    name = (user.splitlines() or ["this user"])[0]
    if group == "root" or group == "its group":
        remedy = 'give it to group video by a udev rule: KERNEL=="vcio", GROUP="video", MODE="0660"; restart'
    else:
        remedy = f"on the board: sudo usermod -aG {group} {name}; then connect anew"
    return failed(check, f"there, but {name} may not use it ({words[0]}, group {group})", remedy)


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
