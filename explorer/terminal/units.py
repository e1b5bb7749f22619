"""Quantities as people read them."""

from __future__ import annotations

_UNITS = (("s", 1.0), ("ms", 1e-3), ("us", 1e-6))


def seconds(time_s: float | None) -> str:
    """A time with three digits and its unit: the largest of which there is at least one, once it is rounded."""
    if time_s is None:
        return "-"
    for unit, scale in _UNITS:
        digits = _three_digits(time_s / scale)
        if abs(float(digits)) >= 1:
            return f"{digits} {unit}"
    return f"{_three_digits(time_s * 1e9)} ns"


def _three_digits(value: float) -> str:
    """Never an exponent for a large one: all digits before the point."""
    return f"{value:.3g}" if abs(value) < 999.5 else f"{value:.0f}"
