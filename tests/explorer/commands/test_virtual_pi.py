"""`explore devices start-virtual` and `stop-virtual`, and what a user does with the board between them."""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from codegen.plan import read_plan
from microbench.calibration.profile_file import write_profile
from microbench.devices import read_devices
from microbench.profile import load_profile
from microbench.store import Store
from microbench.virtual_pi import keeper
from tests.explorer.command_line import PROGRAM, explore, refused
from tests.explorer.tiny import write_tiny_model

NAME = "virtual-pi-zero"
needs_virtual_pi = pytest.mark.needs("virtual pi")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where a user's own files are."""
    place = tmp_path_factory.mktemp("virtual")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(keeper, "user_cache_path", lambda name: place / "cache" / name)
        yield place


@pytest.fixture(scope="module")
def devices(place: Path) -> Iterator[Path]:
    """A file of boards, with a virtual Pi Zero that runs."""
    path = place / "devices.toml"
    started = explore("devices", "start-virtual", "pi-zero", "--devices", path)
    assert started.exit_code == 0, started.output
    assert "no silicon" in started.output
    yield path
    stopped = explore("devices", "stop-virtual", "pi-zero", "--devices", path)
    assert stopped.exit_code == 0, stopped.output
    assert NAME not in read_devices(path)
    refused(explore("devices", "stop-virtual", "pi-zero", "--devices", path), "start-virtual")


@needs_virtual_pi
def test_it_answers_by_its_name_and_is_in_order(devices: Path) -> None:
    answered = explore("devices", "test", NAME, "--devices", devices)
    assert answered.exit_code == 0, answered.output
    assert "Virtual Raspberry Pi Zero" in answered.output
    examined = explore("doctor", "--device", NAME, "--devices", devices)
    assert examined.exit_code == 0, examined.output
    assert "failed" not in examined.output


@needs_virtual_pi
def test_a_second_one_of_the_name_is_refused(devices: Path) -> None:
    refused(explore("devices", "start-virtual", "pi-zero", "--devices", devices), "stop-virtual")


@needs_virtual_pi
def test_it_ends_with_the_process_that_started_it(tmp_path: Path) -> None:
    """`sh` starts it, and is gone."""
    command = (*PROGRAM, "devices", "start-virtual", "pi-zero", "--name", f"brief-{os.getpid()}")
    started = subprocess.run(
        ("sh", "-c", '"$@"; true', "sh", *command, "--devices", str(tmp_path / "devices.toml")),
        capture_output=True,
        text=True,
        check=True,
    )
    place = re.search(r"(/\S+)/log", started.stdout.replace("\n", ""))
    assert place is not None, started.stderr
    until_s = time.monotonic() + 30.0
    while Path(place[1]).exists() and time.monotonic() < until_s:
        time.sleep(0.05)
    assert not Path(place[1]).exists()


def test_what_this_machine_lacks_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(keeper, "why_no_virtual_pi", lambda profile: "no program qemu-arm")
    result = explore("devices", "start-virtual", "pi-zero", "--devices", tmp_path / "devices.toml")
    refused(result, "a virtual pi-zero cannot be started here: no program qemu-arm")


@pytest.mark.slow
@needs_virtual_pi
def test_a_run_there_chooses_as_one_without_its_server(devices: Path, tmp_path: Path) -> None:
    """The bundle runs there in the end, and is compared with ONNX Runtime. Nothing is forced; kernels of the CPU take
    the same to the nanosecond.
    """
    model = write_tiny_model(tmp_path / "model.onnx")
    plans, cpu_s = [], []
    for name, way in (("here", ("pi-zero", "--board", "emulated")), ("there", (NAME,))):
        out, store = tmp_path / name, tmp_path / f"{name}.sqlite"
        places = ("--out", out, "--store", store, "--devices", devices)
        result = explore("run", "--model", model, "--layer-budget", "2", *places, "--device", *way)
        assert result.exit_code == 0, result.output
        assert "top 5 the same" in result.output
        plans.append(read_plan(out / "plan.json"))
        cpu_s.append(times_of_the_cpu(store))
    here, there = ([step.choice for step in plan.steps] for plan in plans)
    assert there == here
    assert cpu_s[0] == cpu_s[1] and len(cpu_s[0]) >= 10


def times_of_the_cpu(path: Path) -> dict[str, float]:
    """Of every candidate that was measured, in seconds."""
    with Store.open(path) as store:
        found = [sample for sample in store.samples() if sample.role == "candidate" and sample.is_timed]
    assert {sample.kind for sample in found} == {"simulated"}
    assert {sample.candidate.choice.engine for sample in found} == {"videocore4", "cpu"}
    return {one.candidate_hash: one.time_s for one in found if one.candidate.choice.engine == "cpu"}


@pytest.mark.slow
@needs_virtual_pi
def test_calibration_finds_the_constants_of_the_board_there(devices: Path, tmp_path: Path) -> None:
    true = load_profile("pi-zero").with_v3d(vdw_row_cycles=11.0, tmu_cycles_per_request=20)
    write_profile(true, tmp_path / "attic.toml")
    board = ("--name", "attic", "--devices", devices)
    started = explore("devices", "start-virtual", tmp_path / "attic.toml", *board)
    assert started.exit_code == 0, started.output
    try:
        out = tmp_path / "fitted.toml"
        result = explore("calibrate", "--device", "attic", "--devices", devices, "--out", out)
    finally:
        explore("devices", "stop-virtual", "attic", *board)
    assert result.exit_code == 0, result.output
    fitted = load_profile(str(out))
    assert fitted.v3d_value("tmu_cycles_per_request") == 20
    assert fitted.v3d_value("vdw_row_cycles") == pytest.approx(11.0, rel=0.05)
