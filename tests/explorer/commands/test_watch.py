"""`explore run --live` and `explore watch` as programs: the page is there while the run goes on, and no longer."""

from __future__ import annotations

import re
import signal
import subprocess
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from explorer.live.journal import JOURNAL_FILE
from tests.explorer.command_line import PROGRAM, explore, null_run, refused, run
from tests.explorer.live.written import going_on

ADDRESS = re.compile(r"live: (http://127\.0\.0\.1:\d+/[\w-]+/)")
# The board's answers wait for a file to appear: the page can be read in the middle of the search.
WAITING = """
import sys, time
from pathlib import Path
from microbench.boards.null import NullBoard
from explorer.cli import main
go, sys.argv[1:] = Path(sys.argv[1]), sys.argv[2:]
measure = NullBoard.measure
def waits(self, job):
    while not go.exists():
        time.sleep(0.02)
    return measure(self, job)
NullBoard.measure = waits
main()
"""


@pytest.fixture
def started(model: Path, tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A run that waits for the file `go`."""
    words = [PROGRAM[0], "-c", WAITING, str(tmp_path / "go"), *map(str, null_run(model, tmp_path, "--live"))]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    yield process
    process.kill()
    process.communicate()


def address_of(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    for line in process.stdout:
        if found := ADDRESS.search(line):
            return found[1]
    pytest.fail("no address was told")


def read(address: str) -> str:
    with urllib.request.urlopen(address, timeout=20) as answer:
        return str(answer.read().decode())


def test_a_run_can_be_watched_until_it_ends(started: subprocess.Popen[str], tmp_path: Path) -> None:
    address = address_of(started)
    text = read(address)
    assert "tiny on pi-zero" in text
    watching = subprocess.Popen(
        [*PROGRAM, "watch", str(tmp_path / "out")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    other = address_of(watching)
    assert other != address and "tiny on pi-zero" in read(other)
    (tmp_path / "go").touch()
    assert started.wait(120) == 0, started.communicate()
    out, err = watching.communicate(timeout=30)
    assert watching.returncode == 0 and "the run has ended: finished" in out, err
    assert "next: explore report" in out
    for place in (address, other):
        with pytest.raises(urllib.error.URLError):
            read(place)
    assert not (tmp_path / "out" / JOURNAL_FILE).exists()


def test_an_interrupt_ends_run_and_page(started: subprocess.Popen[str], tmp_path: Path) -> None:
    address = address_of(started)
    threading.Timer(0.5, (tmp_path / "go").touch).start()  # a board that measures is waited for
    started.send_signal(signal.SIGINT)
    assert started.wait(60) == 130
    with pytest.raises(urllib.error.URLError):
        read(address)
    assert not (tmp_path / "out" / JOURNAL_FILE).exists()


def test_an_interrupt_ends_the_watch_and_not_the_run(tmp_path: Path) -> None:
    with going_on(tmp_path):
        watching = subprocess.Popen(
            [*PROGRAM, "watch", str(tmp_path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        address = address_of(watching)
        watching.send_signal(signal.SIGINT)
        _, err = watching.communicate(timeout=30)
        assert watching.returncode == 130 and "Traceback" not in err
        assert (tmp_path / JOURNAL_FILE).exists()
        with pytest.raises(urllib.error.URLError):
            read(address)


def test_a_finished_run_and_no_run_cannot_be_watched(model: Path, tmp_path: Path) -> None:
    refused(explore("watch", tmp_path / "none"), "RunDataError", "no run goes on")
    result = run(model, tmp_path)
    assert result.exit_code == 0 and "live:" not in result.output
    refused(explore("watch", tmp_path / "out"), "RunDataError", "explore report")
