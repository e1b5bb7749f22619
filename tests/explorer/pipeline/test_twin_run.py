"""A run that a twin spares the board: searched here, with the board's own times in the plan."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pandas as pd
import pytest

from codegen.plan import read_plan
from microbench.boards.stand_in import Habits
from microbench.calibration.profile_file import fitted_on, write_profile
from microbench.profile import DeviceProfile, load_profile
from microbench.store import Store
from microbench.twin import calibrated_file
from tests.explorer.command_line import explore, refused
from tests.explorer.tiny import write_tiny_model
from tests.microbench.loopback_sshd import LoopbackServer, sshd
from tests.microbench.stand_in import devices_file

__all__ = ["sshd"]

TRUE = load_profile("pi-zero").with_v3d(vdw_row_cycles=14.0, sdram_latency_s=250e-9)
TWIN = load_profile("pi-zero").with_v3d(vdw_row_cycles=13.0, sdram_latency_s=240e-9)


def run_words(devices: Path, place: Path, *more: str | Path) -> tuple[str | Path, ...]:
    model = write_tiny_model(place / "tiny.onnx")
    where = ("--store", place / "samples.sqlite", "--out", place / "out")
    board = ("--device", "attic", "--devices", devices)
    return ("run", *board, "--layer-budget", "3", "--model", model, *where, *more)


def calibrated() -> DeviceProfile:
    """As `explore calibrate` writes it for the board."""
    constants = {
        **TWIN.v3d,
        "vdw_row_cycles": TWIN.v3d["vdw_row_cycles"].model_copy(update={"source": fitted_on("attic")}),
    }
    return TWIN.model_copy(update={"name": "attic-calibrated", "v3d": constants})


def asked_of_the_board(store: Path) -> Counter[str]:
    """Candidates that were measured, by board."""
    with Store.open(str(store)) as opened:
        return Counter(s.fingerprint.board for s in opened.samples() if s.role == "candidate")


def test_the_plans_times_are_the_boards_and_most_samples_the_twins(
    sshd: LoopbackServer, tmp_path: Path
) -> None:
    write_profile(TWIN.model_copy(update={"name": "attic-calibrated"}), tmp_path / "twin.toml")
    devices = devices_file(sshd, tmp_path, TRUE, Habits(launch_noise=0.001))
    result = explore(*run_words(devices, tmp_path, "--twin", tmp_path / "twin.toml"))
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
    result = explore(*run_words(devices, tmp_path, "--twin", tmp_path / "twin.toml"))
    refused(result, "TwinError", "cpu", "calibrate")


def test_a_calibrated_board_is_spared_unless_it_is_asked_for(
    sshd: LoopbackServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_profile(calibrated(), calibrated_file("attic"))
    devices = devices_file(sshd, tmp_path, TRUE)
    result = explore(*run_words(devices, tmp_path))
    assert result.exit_code == 0, result.output
    assert "searched on the twin attic-calibrated" in result.output and "--no-twin" in result.output
    command = json.loads((tmp_path / "out" / "run.json").read_text())["command"]
    assert command[command.index("--twin") + 1] == "calibrated"
    spared = asked_of_the_board(tmp_path / "samples.sqlite")
    assert 0 < spared["stand-in attic-calibrated"] < spared["virtual attic-calibrated"]
    result = explore(*run_words(devices, tmp_path, "--no-twin", "--overwrite"))
    assert result.exit_code == 0, result.output
    assert "searched on" not in result.output
    assert "--no-twin" in json.loads((tmp_path / "out" / "run.json").read_text())["command"]
    itself = asked_of_the_board(tmp_path / "samples.sqlite") - spared
    assert set(itself) == {"stand-in pi-zero"} and itself.total() > spared["stand-in attic-calibrated"]


def test_probes_are_all_that_the_board_is_asked(sshd: LoopbackServer, tmp_path: Path) -> None:
    """The search itself is made on the virtual board of the device's profile, whose clock need not be the board's."""
    devices = devices_file(sshd, tmp_path, TRUE.with_v3d(clock_hz=300e6))
    result = explore(*run_words(devices, tmp_path, "--probes", "5"))
    assert result.exit_code == 0, result.output
    assert "the board is asked of 5 measurements" in result.output
    asked = asked_of_the_board(tmp_path / "samples.sqlite")
    assert 0 < asked["stand-in pi-zero"] <= 3 < asked["virtual pi-zero"]
    assert read_plan(tmp_path / "out" / "plan.json").device == "pi-zero"


def test_a_board_that_is_not_out_there_takes_no_probes(tmp_path: Path) -> None:
    where = ("--model", write_tiny_model(tmp_path / "tiny.onnx"), "--out", tmp_path / "out")
    result = explore("run", "--device", "pi-zero", "--board", "virtual", "--probes", "5", *where)
    refused(result, "TwinError", "--probes", "over SSH")
