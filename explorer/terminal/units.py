"""Quantities as people read them."""

from __future__ import annotations

_PREFIXES = (("", 1.0), ("m", 1e-3), ("u", 1e-6))


def seconds(time_s: float | None) -> str:
    """A time with three digits and its unit: the largest of which there is at least one, once it is rounded."""
    return _scaled(time_s, "s")


def joules(energy_j: float | None) -> str:
    """An energy likewise."""
    return _scaled(energy_j, "J")


def _scaled(value: float | None, unit: str) -> str:
    if value is None:
        return "-"
    for prefix, scale in _PREFIXES:
        digits = _three_digits(value / scale)
        if abs(float(digits)) >= 1:
            return f"{digits} {prefix}{unit}"
    return f"{_three_digits(value * 1e9)} n{unit}"


def _three_digits(value: float) -> str:
    """Never an exponent for a large one: all digits before the point."""
    return f"{value:.3g}" if abs(value) < 999.5 else f"{value:.0f}"
