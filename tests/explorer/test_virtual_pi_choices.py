"""A run over SSH to a virtual Pi chooses what a run on the same machine without its server chooses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from microbench.profile import load_profile
from microbench.store import Store
from microbench.virtual_pi.server import VirtualPi
from tests.explorer.command_line import explore
from tests.explorer.tiny import write_tiny_model

pytestmark = [pytest.mark.slow, pytest.mark.needs("virtual pi")]

FEW = ("--device", "pi-zero", "--layer-budget", "3", "--budget", "60")


def run(model: Path, place: Path, *way: str | Path) -> dict[str, Any]:
    """The plan of a run with a store of its own."""
    ran = explore("run", *FEW, "--model", model, *way, "--store", f"{place}.sqlite", "--out", place)
    assert ran.exit_code == 0, ran.output
    plan: dict[str, Any] = json.loads((place / "plan.json").read_text())
    return plan


def cpu_times_s(place: Path) -> dict[str, float]:
    """By candidate."""
    with Store.open(f"{place}.sqlite") as store:
        samples = [sample for sample in store.samples() if sample.role == "candidate"]
    assert {sample.kind for sample in samples} == {"simulated"}
    assert {sample.status for sample in samples} == {"ok"}
    return {one.candidate_hash: one.time_s for one in samples if one.candidate.choice.engine == "cpu"}


def test_a_run_over_ssh_chooses_what_one_without_chooses(tmp_path: Path) -> None:
    model = write_tiny_model(tmp_path / "tiny.onnx", side=56, channels=32)
    here = run(model, tmp_path / "here", "--board", "emulated")
    with VirtualPi(load_profile("pi-zero")) as pi:
        key, known = pi.directory / "user_key", pi.directory / "known_hosts"
        place = f"{pi.user}@127.0.0.1:{pi.port}"
        there = run(model, tmp_path / "there", "--ssh", place, "--ssh-key", key, "--known-hosts", known)
    choices = [{step["name"]: step["choice"] for step in plan["steps"]} for plan in (here, there)]
    assert choices[0] == choices[1]
    assert {choice["engine"] for choice in choices[0].values()} == {"cpu", "videocore4"}
    times_s = [cpu_times_s(tmp_path / name) for name in ("here", "there")]
    assert times_s[0] == times_s[1] and len(times_s[0]) >= 10
