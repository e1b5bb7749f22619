"""What a board was like while it measured: clocks, temperature, throttling."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from microbench.errors import BoardError

# Bits of the firmware's throttle word that hold now; the same bits 16 places up hold since boot.
THROTTLE_FLAGS: Mapping[int, str] = {
    1 << 0: "under-voltage",
    1 << 1: "CPU clock capped",
    1 << 2: "throttled",
    1 << 3: "soft temperature limit",
}
SINCE_BOOT_SHIFT = 16


@dataclass(frozen=True)
class Conditions:
    """One reading; None where the board cannot tell. `throttle_flags`: the firmware's word, see `THROTTLE_FLAGS`.

    Raises BoardError for a value that no sensor gives.
    """

    cpu_clock_hz: float | None = None
    gpu_clock_hz: float | None = None
    temperature_c: float | None = None
    voltage_v: float | None = None
    throttle_flags: int | None = None

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
                raise BoardError(f"a reading of {field.name} cannot be {value!r}")
            if value is not None and not math.isfinite(value):
                raise BoardError(f"a reading of {field.name} cannot be {value!r}")
        flags = self.throttle_flags
        if flags is not None and (not isinstance(flags, int) or flags < 0):
            raise BoardError(f"throttle flags are a word of bits, not {flags!r}")

    @property
    def throttling(self) -> tuple[str, ...]:
        """What holds the board back at this moment; empty also where it cannot tell."""
        return tuple(name for bit, name in THROTTLE_FLAGS.items() if (self.throttle_flags or 0) & bit)


def as_plain(readings: Iterable[Conditions]) -> list[dict[str, Any]]:
    """Readings as JSON objects; what the board could not tell is left out."""
    return [
        {
            field.name: getattr(reading, field.name)
            for field in fields(reading)
            if getattr(reading, field.name) is not None
        }
        for reading in readings
    ]


def of_plain(objects: Iterable[Mapping[str, Any]]) -> tuple[Conditions, ...]:
    """The inverse of `as_plain`; raises TypeError for an unknown field, BoardError for an impossible value."""
    return tuple(Conditions(**dict(item)) for item in objects)


def read_local_conditions(system: Path = Path("/sys")) -> Conditions:
    """This machine's: the highest current CPU clock and temperature that its kernel shows; None where it shows none."""
    clocks_khz = _numbers(system.glob("devices/system/cpu/cpu[0-9]*/cpufreq/scaling_cur_freq"))
    millidegrees = _numbers(system.glob("class/thermal/thermal_zone[0-9]*/temp"))
    return Conditions(
        cpu_clock_hz=1e3 * max(clocks_khz) if clocks_khz else None,
        temperature_c=max(millidegrees) / 1e3 if millidegrees else None,
    )


def _numbers(paths: Iterable[Path]) -> list[float]:
    numbers = []
    for path in paths:
        try:
            numbers.append(float(path.read_text()))
        except (OSError, ValueError):  # a sensor that is asleep answers with an error: it cannot tell
            continue
    return numbers
