from __future__ import annotations

import io

import pytest
from rich.console import Console
from rich.table import Table

from explorer.terminal import console
from explorer.terminal.progress_bars import ConsoleProgress

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
    line = "word " * (console.NARROWEST // 5 - 1)
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
