"""What a run writes while it goes on, and what becomes of it."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from explorer.errors import RunDataError
from explorer.live.journal import JOURNAL_FILE, Journal
from explorer.live.tail import Tail
from explorer.live.watched import Found, Watched, undominated
from explorer.terminal.progress import Outlook, Silent
from tests.explorer.live.written import MODEL, going_on
from tests.microbench.measured import sample

HOLD = """
import sys, time
from pathlib import Path
from explorer.live.journal import Journal
from explorer.terminal.progress import Silent
with Journal(Silent(), {"model": "m", "device": "d"}) as journal:
    journal.directory(Path(sys.argv[1]))
    print("begun", flush=True)
    time.sleep(60)
"""


def seen(tail: Tail, watched: Watched | None = None) -> Watched:
    watched = watched or Watched()
    watched.take(tail.events())
    return watched


def test_a_reader_knows_what_the_run_has_told(tmp_path: Path) -> None:
    with going_on(tmp_path) as journal, Tail(tmp_path) as tail:
        watched = seen(tail)
        assert watched.about == {**MODEL, "directory": str(tmp_path)}
        assert (watched.expected, watched.done, watched.samples, watched.new) == (2, 1, 1, 1)
        assert watched.best_s == [(0, 0.125)] and len(watched.due) == 1
        assert [layer.samples for layer in watched.layers.values()] == [1]
        assert watched.left_s is not None
        journal.outlook(Outlook(0.1, "", {}))
        journal.sample(sample(5, status="wrong"), measured=False)
        watched = seen(tail, watched)
        assert watched.best_s == [(0, 0.125), (1, 0.1)]
        assert (watched.samples, watched.new, watched.unusable) == (2, 1, 1)
        assert watched.ended == "" and tail.is_written()


def test_a_line_that_is_half_written_comes_the_next_time(tmp_path: Path) -> None:
    with going_on(tmp_path), Tail(tmp_path) as tail:
        seen(tail)
        with (tmp_path / JOURNAL_FILE).open("a") as file:
            file.write('{"event": "do')
            file.flush()
            assert list(tail.events()) == []
            file.write('ne", "at_s": 1}\n')
            file.flush()
        assert [event["event"] for event in tail.events()] == ["done"]


def test_the_end_is_told_and_the_file_goes_with_the_run(tmp_path: Path) -> None:
    with going_on(tmp_path):
        tail = Tail(tmp_path)
    assert not (tmp_path / JOURNAL_FILE).exists()
    assert not tail.is_written() and seen(tail).ended == "finished"
    with pytest.raises(ValueError, match="broken"), going_on(tmp_path):
        tail = Tail(tmp_path)
        raise ValueError("broken")
    watched = seen(tail)
    assert (watched.ended, watched.message) == ("failed", "broken")
    with pytest.raises(KeyboardInterrupt), going_on(tmp_path):
        tail = Tail(tmp_path)
        raise KeyboardInterrupt
    assert seen(tail).ended == "interrupted"


def test_where_no_run_goes_on_there_is_nothing_to_watch(tmp_path: Path) -> None:
    with pytest.raises(RunDataError, match="explore report"):
        Tail(tmp_path)
    (tmp_path / JOURNAL_FILE).write_text("")
    with pytest.raises(RunDataError, match="was killed"):
        Tail(tmp_path)


def test_a_run_that_is_killed_is_known_to_be(tmp_path: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "begun\n"
    with Tail(tmp_path) as tail:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()
        for _ in range(100):
            if not tail.is_written():
                break
            time.sleep(0.02)
        assert not tail.is_written()
    with going_on(tmp_path), Tail(tmp_path) as tail:  # the next run takes the file
        assert [event["event"] for event in tail.events()][:2] == ["run", "phase"]


def test_a_second_run_in_the_directory_leaves_the_first_s_journal_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with going_on(tmp_path), Tail(tmp_path) as tail:
        before = (tmp_path / JOURNAL_FILE).read_bytes()
        with caplog.at_level(logging.WARNING), Journal(Silent(), MODEL) as second:
            second.directory(tmp_path)
            second.phase("of the second")
        assert "nobody can watch this run" in caplog.text
        assert (tmp_path / JOURNAL_FILE).read_bytes() == before and tail.is_written()


def test_a_full_disk_ends_the_journal_and_not_the_run(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / JOURNAL_FILE).symlink_to("/dev/full")
    with caplog.at_level(logging.WARNING), Journal(Silent(), MODEL) as journal:
        journal.directory(tmp_path)
        journal.phase("goes on")
    assert caplog.text.count("nobody can watch this run") == 1


@pytest.mark.parametrize("line", ["{", "[]", '{"event": "of", "at_s": 1}', '{"event": "plan", "at_s": 1}'])
def test_a_damaged_journal_is_a_typed_error(line: str, tmp_path: Path) -> None:
    with going_on(tmp_path), Tail(tmp_path) as tail:
        with (tmp_path / JOURNAL_FILE).open("a") as file:
            file.write(line + "\n")
        with pytest.raises(RunDataError, match="damaged"):
            seen(tail)


def test_what_no_plan_beats() -> None:
    a, b, c = (
        Found(name, time_s, size, "") for name, time_s, size in (("a", 1, 3), ("b", 2, 2), ("c", 2, 3))
    )
    twin = Found("d", 2, 2, "")
    assert undominated([a, b, c, twin]) == {a, b, twin}
