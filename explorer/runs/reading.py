"""What readings may claim: differences below a hundredth are none, and what is no difference is said as a tie."""

from __future__ import annotations

SILENT = 0.01


def alike(one: float, other: float) -> bool:
    """Whether two figures differ by less than a hundredth of the larger."""
    return abs(one - other) < SILENT * max(abs(one), abs(other)) or one == other


def more_text(value: float, base: float) -> str:
    """By how much a value is above a base, which it is: `12 % more`, `3.4 times`."""
    ratio = value / base
    return f"{100 * (ratio - 1):.2g} % more" if ratio < 2 else f"{ratio:.3g} times as much"
