from __future__ import annotations

import pytest

from explorer.terminal.units import seconds


@pytest.mark.parametrize(
    "time_s, text",
    [
        (None, "-"),
        (0.0, "0 ns"),
        (123.4, "123 s"),
        (1234.5, "1234 s"),
        (1.0, "1 s"),
        (0.9996, "1 s"),
        (0.9994, "999 ms"),
        (0.0009996, "1 ms"),
        (0.0009994, "999 us"),
        (0.0000009996, "1 us"),
        (0.0000009994, "999 ns"),
        (1.5e-9, "1.5 ns"),
        (-0.0021, "-2.1 ms"),
    ],
)
def test_the_unit_is_chosen_after_rounding(time_s: float | None, text: str) -> None:
    assert seconds(time_s) == text


@pytest.mark.parametrize("scale", [1.0, 1e-3, 1e-6, 1e-9])
def test_there_is_never_an_exponent_from_a_nanosecond_up(scale: float) -> None:
    for value in (1.0, 9.995, 99.95, 999.4999, 999.5, 999.9999):
        assert "e" not in seconds(value * scale)
