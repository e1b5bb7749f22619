"""The table of faults: what counts as lost, what is shown, and that a trial is what it says."""

from __future__ import annotations

import dataclasses
from collections import Counter
from pathlib import Path

import pytest

from microbench.boards.host import HostBoard
from microbench.errors import CandidateError
from microbench.profile import load_profile
from microbench.runner.build import runner_sources
from microbench.store import Store
from tests.explorer.faults import table, trial
from tests.explorer.faults.firmware import ToldMachine
from tests.explorer.faults.link import ConnectionReset
from tests.explorer.faults.rig import Rig
from tests.explorer.faults.stepped_host import spoilt
from tests.explorer.faults.steps import KERNEL
from tests.explorer.faults.trial import Trial
from tests.explorer.tiny import write_tiny_model
from tests.microbench.link_proxy import LinkProxy
from tests.microbench.loopback_sshd import LoopbackServer, sshd
from tests.microbench.measured import sample, sound_cpu_job

__all__ = ["sshd"]

GOOD = Trial("a fault", "a step", "told | so\nand <so>", 3, 0, 1, 1.25, True)


def rig(place: Path) -> Rig:
    server = LoopbackServer(1, place / "keys", "somebody")
    return Rig(place, server, LinkProxy(1), place / "model.onnx")


def test_a_measurement_that_the_store_does_not_hold_is_lost(tmp_path: Path) -> None:
    kept, failed = sample(), dataclasses.replace(sample(), status="failed", times_s=())
    with Store.open(tmp_path / "samples.sqlite") as store:
        store.add(kept)
        store.add(failed)
    twice = Counter({kept.candidate_hash: 2})
    assert trial._lost(twice, rig(tmp_path)) == 1
    assert trial._lost(Counter({kept.candidate_hash: 1}), rig(tmp_path)) == 0
    assert trial._lost(Counter({"another": 1}), rig(tmp_path)) == 1


def test_messages_are_shown_without_what_differs_from_run_to_run(tmp_path: Path) -> None:
    text = f"somebody@127.0.0.1:2222: {tmp_path}/board: process 17 of somebody@there {'ab' * 8}"
    assert (
        trial._without_places(text, rig(tmp_path))
        == "USER@BOARD: DIRECTORY/board: process PID of USER@HOST HASH"
    )


def test_the_table_sums_up_its_trials() -> None:
    slow = dataclasses.replace(GOOD, recovery_s=9.0, runs=2, lost=1, ended_well=False)
    lines = list(table._document([GOOD, GOOD, slow], ["another fault: no root"]))
    assert "| a fault | 3 | 1 | 2 of 3 | 1.2 s | 9.0 s |" in lines
    assert any("told \\| so<br>and &lt;so>" in line for line in lines)
    assert any("did not end well" in line for line in lines)
    assert "\nNot tried on this machine: another fault: no root." in lines


def test_a_trial_of_the_records_is_not_done_again(tmp_path: Path) -> None:
    fault, step = table.FAULTS[0], table.FAULTS[0].steps[0]
    known = dataclasses.replace(GOOD, fault=fault.name, step=step.title)
    path = tmp_path / "trials.jsonl"
    table._Records(path).add(known)
    assert table._Records(path).trial(fault, step) == known
    assert table._Records(path).trial(fault, table.FAULTS[0].steps[1]) is None
    assert "on a slow machine\n" in table._document([known], [], "on a slow machine")


def test_a_spoilt_kernel_does_what_it_is_told() -> None:
    sound = sound_cpu_job()
    board = HostBoard(load_profile("host"))
    wrong = board.measure(spoilt(sound.job, "", "outputs[0][0] = 42.0f;")).output
    assert wrong is not None and wrong[0] == 42.0 and (wrong[1:] == sound.expected[1:]).all()
    with pytest.raises(CandidateError, match="died of SIG"):
        board.measure(spoilt(sound.job, "__builtin_trap();", ""))


def test_a_runner_looks_where_it_is_told(tmp_path: Path) -> None:
    machine = ToldMachine(tmp_path / "machine")
    machine.make(1_000_000_000)
    changed = machine.sources(runner_sources("none", "a test"))
    assert str(tmp_path) in changed["hello.c"] and str(tmp_path) in changed["conditions.h"]
    with pytest.raises(ValueError, match="no longer says"):
        machine.sources({"hello.c": "int main(void);"})


def test_every_fault_has_a_name_and_steps_of_its_own() -> None:
    names = [fault.name for fault in table.FAULTS]
    assert len(set(names)) == len(names) >= 10
    for fault in table.FAULTS:
        assert len({step.title for step in fault.steps}) == len(fault.steps) > 0


def test_what_cannot_be_asked_for_is_told() -> None:
    with pytest.raises(SystemExit):
        table.main(["--side-by-side", "none"])


@pytest.mark.slow
def test_a_trial_strikes_and_the_run_goes_on(sshd: LoopbackServer, tmp_path: Path) -> None:
    model = write_tiny_model(tmp_path / "tiny.onnx")
    found = trial.attempt(ConnectionReset(), KERNEL, sshd, model, tmp_path / "trial")
    assert found.ended_well and found.runs == 1 and not found.lost
    assert "connected again" in found.seen and found.taken > 0
