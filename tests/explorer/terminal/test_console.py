from __future__ import annotations

import io
from collections.abc import Callable

import pytest
from rich.console import Console
from rich.table import Table
from rich.text import Text

from explorer.terminal import console
from explorer.terminal.progress import Outlook
from explorer.terminal.progress_bars import ConsoleProgress
from explorer.terminal.sheet import Sheet

NAME = "relayout:x:channel16"  # a step's name; `:x:` is an emoji to rich


def printed(name: str, capsys: pytest.CaptureFixture[str]) -> str:
    """What a line, a cell and a title of that name come out as, one after the other."""
    target = {"stdout": console.stdout, "stderr": console.stderr}[name]()
    table = Table("step", title=NAME)
    table.add_row(NAME)
    target.print(NAME)
    target.print(NAME, markup=False)
    target.print(table)
    captured = capsys.readouterr()
    return captured.out if name == "stdout" else captured.err


@pytest.mark.parametrize("name", ["stdout", "stderr"])
def test_a_name_with_colons_stays_as_it_is(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert printed(name, capsys).count(NAME) == 4


def test_a_name_stays_as_it_is_in_a_file() -> None:
    file = io.StringIO()
    console.text_file(file).print(NAME)
    assert file.getvalue() == NAME + "\n"


def test_a_name_stays_as_it_is_in_a_bar() -> None:
    file = io.StringIO()
    with ConsoleProgress(Console(file=file, emoji=False, width=200)) as progress:
        progress.phase(NAME)
    assert NAME in file.getvalue()


def test_where_there_is_no_terminal_lines_and_tables_are_whole(capsys: pytest.CaptureFixture[str]) -> None:
    line = "word " * (console.NARROWEST // 5 - 1) + "end"
    console.stdout().print(line)
    assert capsys.readouterr().out.rstrip("\n") == line


def test_a_bar_without_a_length_goes_with_the_error_that_ends_it() -> None:
    file = io.StringIO()
    with (
        pytest.raises(ValueError, match="broken"),
        ConsoleProgress(Console(file=file, width=200)) as progress,
    ):
        progress.phase("Import")
        raise ValueError("broken")
    assert "Import" not in file.getvalue()


HOSTILE = "a\x1b[2J\u202eb"
SHOWN = "a\\x1b[2J\\u202eb"


@pytest.mark.parametrize("made", [console.stdout, console.stderr])
def test_what_commands_a_terminal_is_shown(
    made: Callable[[], Console], capsys: pytest.CaptureFixture[str]
) -> None:
    target = made()
    table = Sheet(HOSTILE, (HOSTILE,), [(HOSTILE,)]).table()
    table.add_row(Text(HOSTILE))
    target.print(HOSTILE, markup=False)
    target.print(table)
    target.print(Text(HOSTILE))
    captured = capsys.readouterr()
    text = captured.out + captured.err
    assert text.count(SHOWN) == 6 and text.replace("\n", "").isprintable()


def test_a_table_stays_straight_around_what_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    console.stdout().print(Sheet("", ("name", "n"), [(HOSTILE, "1"), ("b", "2")]).table())
    lines = [line for line in capsys.readouterr().out.splitlines() if line.strip()]
    assert len({len(line) for line in lines}) == 1


def test_bars_show_it_too_and_still_move_the_cursor() -> None:
    file = io.StringIO()
    terminal = console.ShowingConsole(file=file, force_terminal=True, emoji=False, width=200)
    with ConsoleProgress(terminal) as progress:
        progress.phase(HOSTILE)
        progress.outlook(Outlook(0.1, HOSTILE, {}))
        progress._bars.refresh()
    text = file.getvalue()
    assert SHOWN in text and "\x1b[2J" not in text and "\u202e" not in text
    assert "\x1b[" in text  # of the console's own


def test_in_a_file_no_line_ends_with_blanks() -> None:
    file = io.StringIO()
    target = console.text_file(file)
    target.print(Sheet("title", ("name", "n"), [("a", "1"), ("longer", "22")]).table())
    target.print("error:", end=" ")
    target.print("a  b  ")
    lines = file.getvalue().split("\n")
    assert [line for line in lines if line != line.rstrip()] == []
    assert lines[-2:] == ["error: a  b", ""]
