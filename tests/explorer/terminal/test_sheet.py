from __future__ import annotations

import io

import pytest

from explorer.terminal.console import ShowingConsole
from explorer.terminal.sheet import Sheet

SHEET = Sheet(
    "of [layers]",
    ("layer", "algorithm", "time", "why it was measured"),
    [
        (
            "first [x]",
            "qpu_pointwise_relayed",
            "1.25 ms",
            "a plan rests on it, and nothing like it was measured",
        )
    ],
    right=("time",),
    spare=("why it was measured", "algorithm"),
    footers={"time": "2 s"},
)


def shown(width: int) -> str:
    file = io.StringIO()
    SHEET.show(ShowingConsole(file=file, width=width, color_system=None))
    return file.getvalue()


@pytest.mark.parametrize("width", [20, 40, 60, 80, 140])
def test_no_word_is_broken_and_no_line_is_longer_than_the_terminal(width: int) -> None:
    lines = shown(width).splitlines()
    assert max(map(len, lines)) <= width
    words = {word for line in lines for word in line.split()}
    assert {"1.25", "ms", "[x]", "[layers]", "2"} <= words
    assert ("qpu_pointwise_relayed" in words) == (width >= 40)


def test_what_is_left_out_is_said() -> None:
    assert "left out" not in shown(140)
    assert "left out here: why it was measured, algorithm;" in " ".join(shown(30).split())
    assert "measured" in shown(80) and "left out" not in shown(80)
