"""Quantities as people read them."""

from __future__ import annotations


def seconds(time_s: float | None) -> str:
    """A time with three digits and its unit."""
    if time_s is None:
        return "-"
    for unit, scale in (("s", 1.0), ("ms", 1e-3), ("us", 1e-6)):
        if time_s >= scale:
            return f"{time_s / scale:.3g} {unit}"
    return f"{time_s * 1e9:.3g} ns"
