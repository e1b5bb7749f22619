"""What a virtual Pi's firmware tells of the board's condition, and from which launch on."""

from __future__ import annotations

import os
from dataclasses import dataclass, fields
from pathlib import Path

from microbench.profile import DeviceProfile
from microbench.virtual_pi.machine import Machine

CONDITIONS = "conditions"
UNDER_VOLTAGE, THROTTLED = 1 << 0, 1 << 2  # now; 16 bits higher: since boot
SINCE_BOOT = 16


@dataclass(frozen=True)
class FirmwareConditions:
    """Units are in the names; `throttle_flags` is the firmware's word.

    With `refuses_qpus` the QPUs stay off, as under vc4-kms-v3d.
    """

    v3d_clock_hz: float
    arm_clock_hz: float
    arm_highest_clock_hz: float
    board_revision: int
    temperature_c: float = 45.0
    throttle_flags: int = 0
    core_voltage_v: float = 1.2
    refuses_qpus: bool = False


def normal_conditions(profile: DeviceProfile, machine: Machine) -> FirmwareConditions:
    """A cool board at the clocks of its profile."""
    arm_hz = profile.cpu_cost("clock_hz")
    v3d_hz = profile.v3d_value("clock_hz") if profile.v3d else 0.0
    return FirmwareConditions(v3d_hz, arm_hz, arm_hz, machine.revision)


def write_conditions(board: Path, script: dict[int, FirmwareConditions]) -> None:
    """By the number of launches before; one for 0 must be there. Who asks meanwhile gets the old or the new."""
    lines = [
        f"{field.name} {float(getattr(conditions, field.name))!r} {launches}\n"
        for launches, conditions in sorted(script.items())
        for field in fields(conditions)
    ]
    written = board / f".{CONDITIONS}"
    written.write_text("".join(lines), encoding="ascii")
    os.replace(written, board / CONDITIONS)
