"""The first of the damaged files and messages, and that what fuzzing looks for would be found."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from microbench.errors import StoreError
from tests.capabilities import need
from tests.fuzz import __main__ as command
from tests.fuzz import stores
from tests.fuzz.frames import judged_frames
from tests.fuzz.known_hosts_files import judged_known_hosts
from tests.fuzz.plans import judged_plan
from tests.fuzz.replies import judged_reply
from tests.fuzz.servers import judged_server
from tests.fuzz.stores import judged_store
from tests.fuzz.verdicts import verdict_of
from tests.microbench.sanitized_runner import sanitized_runner
from tests.random_graphs.processes import Judge

COUNT = 25


@pytest.mark.parametrize(
    "judge",
    [judged_store, judged_known_hosts, judged_reply, judged_server, judged_plan],
    ids=lambda j: j.__name__,
)
def test_what_is_damaged_is_read_or_refused(judge: Judge) -> None:
    outcomes = [judge(number) for number in range(COUNT)]
    assert not [outcome for outcome in outcomes if outcome.is_failure]
    assert "refused" in {outcome.verdict for outcome in outcomes}


@pytest.mark.slow
def test_frames_are_answered_or_end_a_runner_in_order(tmp_path: Path) -> None:
    need("c compiler")
    runner = sanitized_runner(tmp_path / "runner", "virtual", "address,undefined")
    outcomes = list(map(partial(judged_frames, runner=runner), range(COUNT)))
    assert not [outcome for outcome in outcomes if outcome.is_failure]
    assert runner.found() == ""


def test_samples_that_nobody_wrote_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without its checksums a store gives them."""
    monkeypatch.setattr("microbench.store.store.check_seal", lambda *_: None)
    found = (stores.judged_store(number) for number in range(400))
    assert any(outcome.is_failure for outcome in found)


def test_an_untyped_error_is_no_verdict() -> None:
    def typed() -> str:
        raise StoreError("damaged")

    def untyped() -> str:
        raise UnicodeDecodeError("utf-8", b"\xff", 0, 1, "damaged")

    assert verdict_of(typed).verdict == "refused"
    with pytest.raises(UnicodeDecodeError):
        verdict_of(untyped)


def test_the_command_counts_and_ends_with_the_failures(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command.main(["--replies", "30", "--processes", "1"]) == 0
    assert "Answers of runners\n\n| of 30 |" in capsys.readouterr().out
    monkeypatch.setattr(command, "judged_reply", lambda number: verdict_of(lambda: f"wrong {number}"))
    assert command.main(["--replies", "2", "--processes", "1", "--first", "7"]) == 1
    assert "wrong 8: wrong 8" in capsys.readouterr().out
