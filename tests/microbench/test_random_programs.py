"""The command that runs random programs counts what it ran, and catches what kills the simulator."""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Iterator

import pytest

from tests.microbench.random_programs import __main__ as command
from tests.microbench.random_programs import shares
from tests.microbench.random_programs.__main__ import INTERRUPTED, main, report
from tests.microbench.random_programs.shares import Outcome, outcomes

CRASHING = 3  # the seed of the share that crashes, and how many of its programs end before


def work_that_crashes(pipe: shares.Connection, seed: int, programs: int, strict: bool) -> None:
    for number in range(programs):
        if seed == CRASHING and number == CRASHING:
            os.kill(os.getpid(), signal.SIGKILL)
        pipe.send("1234 56")


def test_as_many_are_run_as_asked_for_whatever_the_processes() -> None:
    alone = Counter(outcomes(1, shares.SHARE + 20, strict=False, processes=1))
    assert alone.total() == shares.SHARE + 20
    assert {outcome.verdict for outcome in alone} >= {"ended", "refused"}
    assert alone == Counter(outcomes(1, shares.SHARE + 20, strict=False, processes=2))


def test_crash_is_caught_with_its_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shares, "_work", work_that_crashes)
    monkeypatch.setattr(shares, "SHARE", 10)
    found = Counter(outcomes(CRASHING - 1, 30, strict=True, processes=1))
    crash = Outcome(
        "crashed",
        f"exit code {-signal.SIGKILL}: seed 3, program 3; again with --seed 3 --programs 4 --strict",
    )
    assert found == {Outcome("ended"): 23, crash: 1, Outcome("left out"): 6}
    assert "| crashed | 1 |" in report("Strict", found)


def test_exit_code_says_whether_one_crashed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert main(["--programs", "5", "--processes", "1"]) == 0
    monkeypatch.setattr(shares, "_work", work_that_crashes)
    assert main(["--programs", "5", "--seed", str(CRASHING), "--lax"]) == 1


def test_what_was_run_until_an_interrupt_is_printed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: object) -> Iterator[Outcome]:
        yield Outcome("ended")
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "outcomes", interrupted)
    assert main(["--programs", "1000"]) == INTERRUPTED
    printed = capsys.readouterr().out
    assert "| of 1 programs | |" in printed and "## Not strict" not in printed
