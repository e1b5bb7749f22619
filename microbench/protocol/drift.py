"""Whether a board stayed as it was while it measured, and what to do about one that did not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from microbench.conditions import Conditions

_ADVICE = {
    "under-voltage": "use a power supply and a cable that keep 4.8 V under load",
    "CPU clock capped": "cool the board and check its power supply",
    "throttled": "cool the board (heat sink, fan, a cooler place) and wait until it is below 70 °C",
    "soft temperature limit": "cool the board (heat sink, fan, a cooler place)",
}


@dataclass(frozen=True)
class Limits:
    """How far readings may lie apart within one batch: clocks as a fraction, temperature in kelvin."""

    clock: float = 0.02
    temperature_c: float = 8.0


def moved(readings: Sequence[Conditions], limits: Limits | None = None) -> tuple[str, ...]:
    """What moved further than its limit between any two readings; what the board cannot tell does not count."""
    limits = limits or Limits()
    found = []
    for name, values in (
        ("CPU clock", [r.cpu_clock_hz for r in readings if r.cpu_clock_hz is not None]),
        ("GPU clock", [r.gpu_clock_hz for r in readings if r.gpu_clock_hz is not None]),
    ):
        if values and max(values) - min(values) > limits.clock * max(values):
            found.append(f"{name} from {min(values) / 1e6:.0f} to {max(values) / 1e6:.0f} MHz")
    degrees = [r.temperature_c for r in readings if r.temperature_c is not None]
    if degrees and max(degrees) - min(degrees) > limits.temperature_c:
        found.append(f"temperature from {min(degrees):.1f} to {max(degrees):.1f} °C")
    return tuple(found)


def throttle_advice(readings: Sequence[Conditions]) -> str | None:
    """What a board that throttled in any of the readings says and what to do; None where it did not, or cannot tell."""
    held = tuple(dict.fromkeys(name for reading in readings for name in reading.throttling))
    if not held:
        return None
    remedies = dict.fromkeys(_ADVICE[name] for name in held)
    return (
        f"the board throttles ({', '.join(held)}): {'; '.join(remedies)}; then run again, no sample is lost"
    )
