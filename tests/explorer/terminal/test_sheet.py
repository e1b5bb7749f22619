from __future__ import annotations

import io

import pytest

from explorer.terminal.console import ShowingConsole
from explorer.terminal.sheet import Sheet, broken_at_parts

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
    assert "left out here: why it was measured; algorithm." in " ".join(shown(30).split())
    assert "measured" in shown(80) and "left out" not in shown(80)


def test_where_too_few_columns_have_room_a_row_is_a_paragraph() -> None:
    wide = Sheet("networks", ("network", *"abcd"), [("first", *["1234567890 ms"] * 4)], right=tuple("abcd"))
    file = io.StringIO()
    wide.show(ShowingConsole(file=file, width=40, color_system=None))
    fact = "{}: 1234567890 ms"
    assert file.getvalue().splitlines() == [
        "networks",
        "first",
        *(f"  {fact.format(first)}; {fact.format(second)}" for first, second in ("ab", "cd")),
    ]


def test_headings_give_way_before_cells() -> None:
    sheet = Sheet(
        "", ("layer", "time in the network"), [("one two three four", "1 ms")], right=("time in the network",)
    )
    file = io.StringIO()
    sheet.show(ShowingConsole(file=file, width=34, color_system=None))
    assert "one two three four" in file.getvalue()


@pytest.mark.parametrize(
    ("name", "width", "lines"),
    [
        ("block_1/expand/relu", 10, ["block_1/", "expand/", "relu"]),
        ("block_1/expand/relu", 19, ["block_1/expand/relu"]),
        ("abcdefghijklmno", 10, ["abcdefghijklmno"]),
        ("a long/name of/words", 9, ["a long/name of/words"]),
    ],
)
def test_names_are_broken_between_their_parts(name: str, width: int, lines: list[str]) -> None:
    assert broken_at_parts(name, width).split("\n") == lines
