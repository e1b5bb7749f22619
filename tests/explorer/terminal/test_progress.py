"""What is told of a search while it goes on, on a terminal and where there is none."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from explorer.terminal.progress import Outlook
from explorer.terminal.progress_bars import ConsoleProgress
from explorer.terminal.progress_lines import ProgressLines, progress_on
from explorer.terminal.rounds import Round
from tests.microbench.measured import sample

FIRST, SECOND = sample(3), sample(4, status="wrong")
OUTLOOK = Outlook(
    0.125, "40 s left", {FIRST.candidate_hash: "conv by a: why a", SECOND.candidate_hash: "conv by b: why b"}
)


def console(is_terminal: bool) -> tuple[Console, io.StringIO]:
    file = io.StringIO()
    return Console(file=file, force_terminal=is_terminal, width=200, color_system=None), file


def test_a_round_tells_what_is_measured_next_and_counts_what_was() -> None:
    due = Round(OUTLOOK)
    assert due.line == "best plan so far 125 ms, 40 s left; conv by a: why a"
    due.take(FIRST, measured=True)
    assert due.line.endswith("left; conv by b: why b")
    due.take(SECOND, measured=False)
    assert (due.due, due.note) == ("", "1 new, 1 unusable")


def test_nothing_is_said_of_what_nobody_knows() -> None:
    assert Outlook(0.125, "", {}).text == "best plan so far 125 ms"
    assert Outlook(None, "", {}).text == Round(Outlook(None, "", {})).line == Round().line == ""


def test_lines_tell_how_a_round_begins_and_what_it_came_to() -> None:
    shown, file = console(is_terminal=False)
    times = iter((0.0, 1.0, 3.5, 4.0, 6.0))
    with ProgressLines(shown, lambda: next(times)) as lines:
        lines.phase("Round 1")
        lines.outlook(OUTLOOK)
        lines.expect(2)
        lines.sample(FIRST, measured=True)
        lines.sample(SECOND, measured=True)
        lines.phase("Compile")
    assert file.getvalue().splitlines() == [
        "Round 1: 2 candidates; best plan so far 125 ms, 40 s left; conv by a: why a",
        "Round 1: 2 done, 2 new, 1 unusable, 2.5 s",
        "Compile: 2.0 s",
    ]


def test_a_phase_that_fails_did_not_end() -> None:
    shown, file = console(is_terminal=False)
    with pytest.raises(ZeroDivisionError), ProgressLines(shown) as lines:
        lines.phase("Compile")
        raise ZeroDivisionError
    assert file.getvalue() == ""


def test_a_terminal_shows_the_line_below_the_bars_while_it_is_true() -> None:
    shown, file = console(is_terminal=True)
    with ConsoleProgress(shown) as bars:
        bars.phase("Round 1")
        bars.outlook(OUTLOOK)
        bars.expect(2)
        bars._bars.refresh()
        assert "best plan so far 125 ms, 40 s left; conv by a: why a" in file.getvalue()
        bars.sample(FIRST, measured=True)
        bars._bars.refresh()
        assert "conv by b: why b" in file.getvalue()
        bars.phase("Compile")
        before = len(file.getvalue())
        bars._bars.refresh()
        assert "best plan" not in file.getvalue()[before:]


def test_bars_are_for_terminals() -> None:
    assert isinstance(progress_on(console(True)[0]), ConsoleProgress)
    assert isinstance(progress_on(console(False)[0]), ProgressLines)
