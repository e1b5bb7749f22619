"""A run that a twin spares the board: searched here, with the board's own times in the plan."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd

from codegen.plan import read_plan
from microbench.boards.stand_in import Habits
from microbench.calibration.profile_file import write_profile
from microbench.profile import load_profile
from microbench.store import Store
from tests.explorer.command_line import explore, refused
from tests.explorer.tiny import write_tiny_model
from tests.microbench.loopback_sshd import LoopbackServer, sshd
from tests.microbench.stand_in import devices_file

__all__ = ["sshd"]

TRUE = load_profile("pi-zero").with_v3d(vdw_row_cycles=14.0, sdram_latency_s=250e-9)
TWIN = load_profile("pi-zero").with_v3d(vdw_row_cycles=13.0, sdram_latency_s=240e-9)


def run_words(devices: Path, twin: Path, place: Path) -> tuple[str | Path, ...]:
    model = write_tiny_model(place / "tiny.onnx")
    where = ("--store", place / "samples.sqlite", "--out", place / "out")
    board = ("--device", "attic", "--devices", devices, "--twin", twin)
    return ("run", *board, "--layer-budget", "3", "--model", model, *where)


def test_the_plans_times_are_the_boards_and_most_samples_the_twins(
    sshd: LoopbackServer, tmp_path: Path
) -> None:
    write_profile(TWIN.model_copy(update={"name": "attic-calibrated"}), tmp_path / "twin.toml")
    devices = devices_file(sshd, tmp_path, TRUE, Habits(launch_noise=0.001))
    result = explore(*run_words(devices, tmp_path / "twin.toml", tmp_path))
    assert result.exit_code == 0, result.output
    with Store.open(str(tmp_path / "samples.sqlite")) as store:
        samples = {sample.id: sample for sample in store.samples()}
    boards = {number: sample.fingerprint.board for number, sample in samples.items()}
    plan = read_plan(tmp_path / "out" / "plan.json")
    ids = [int(number) for step in plan.steps if not step.is_view for number in step.sample_ids]
    assert ids and {boards[number] for number in ids} == {"stand-in attic-calibrated"}
    measured = json.loads((tmp_path / "out" / "run.json").read_text())["measured"]
    assert {boards[number] for number in measured} == {
        "stand-in attic-calibrated",
        "virtual attic-calibrated",
    }
    alone = [number for number in measured if samples[number].role == "candidate"]
    assert len(pd.read_csv(tmp_path / "out" / "samples.csv")) == len(alone) < len(measured)


def test_a_twin_of_another_machine_is_refused(sshd: LoopbackServer, tmp_path: Path) -> None:
    write_profile(load_profile("pi-2"), tmp_path / "twin.toml")
    devices = devices_file(sshd, tmp_path, TRUE)
    refused(explore(*run_words(devices, tmp_path / "twin.toml", tmp_path)), "TwinError", "cpu", "calibrate")
