"""--with-cpu-plan: from the run to a bundle that runs with and without QPUs, and made again from its two plans."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from codegen.bundle import read_manifest
from codegen.plan import read_plan
from explorer import open_run
from tests.explorer.command_line import explore, refused
from tests.explorer.command_line import run as null_run
from tests.explorer.tiny import write_tiny_model

QUICK = ("run", "--device", "pi-zero", "--layer-budget", "2", "--rehearsals", "0")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the network, and the run in `out`."""
    place = tmp_path_factory.mktemp("run")
    write_tiny_model(place / "tiny.onnx", side=48, channels=64)
    ran = explore(*QUICK, "--model", place / "tiny.onnx", *stored(place), "--with-cpu-plan")
    assert ran.exit_code == 0, ran.output
    assert "CPU plan in the bundle" in ran.stdout and "of weights more" in ran.stdout
    return place


def stored(place: Path) -> tuple[str | Path, ...]:
    return ("--store", place / "samples.sqlite", "--out", place / "out")


def test_the_run_writes_checks_and_tells_both_plans(place: Path) -> None:
    run = place / "out"
    plan, second = read_plan(run / "plan.json"), read_plan(run / "cpu_plan.json")
    assert {step.choice.engine for step in second.steps} == {"cpu"}
    assert second.predicted_s == plan.cpu_only_predicted_s
    summary = json.loads((run / "summary.json").read_text())["cpu_plan"]
    entry = read_manifest(run / "bundle").cpu_plan
    assert entry is not None and summary["source_bytes"] == entry.source_bytes
    assert summary["weights_bytes"] == entry.weights_bytes
    assert summary["check"]["largest_error"] <= 1e-4 and summary["check"]["same_top5"]
    assert summary["check"]["time_s"] == pytest.approx(second.predicted_s)
    assert "--with-cpu-plan" in json.loads((run / "run.json").read_text())["command"]


def test_python_and_infer_run_it_with_and_without_qpus(place: Path, caplog: pytest.LogCaptureFixture) -> None:
    array = np.random.default_rng(1).normal(size=(1, 3, 48, 48)).astype(np.float32)
    np.save(place / "x.npy", array)
    with open_run(place / "out").load_bundle() as model:
        assert model.describe().platform == "virtual"
        wanted = model.run({"x": array})["y"]
    with caplog.at_level(logging.WARNING):
        ran = explore("infer", place / "out", "--input", place / "x.npy", "--device", "host", "--out", place)
    assert ran.exit_code == 0, ran.output
    assert "its plan for the CPU ran" in caplog.text
    assert np.abs(np.load(place / "y.npy") - wanted).max() <= 1e-3 * np.abs(wanted).max()


def test_both_plans_compile_to_the_same_bundle_again(place: Path, tmp_path: Path) -> None:
    run = place / "out"
    words = ("compile", run / "plan.json", "--model", place / "tiny.onnx", "--out", tmp_path / "bundle")
    made = explore(*words, "--with-cpu-plan", run / "cpu_plan.json")
    assert made.exit_code == 0, made.output
    for path in (run / "bundle").rglob("*"):
        if path.is_file():
            same = tmp_path / "bundle" / path.relative_to(run / "bundle")
            assert same.read_bytes() == path.read_bytes(), path
    refused(explore(*words, "--with-cpu-plan", run / "plan.json"), "uses the GPU too")


def test_where_there_is_no_plan_for_the_cpu_alone_the_error_says_why(place: Path) -> None:
    forced = ("--force", "second=qpu_pointwise_relayed", "--with-cpu-plan")
    words = (*QUICK, "--model", place / "tiny.onnx", "--store", place / "samples.sqlite")
    refused(explore(*words, "--out", place / "forced", *forced), "no plan for the CPU alone", "--force")
    front = explore(*words, "--with-cpu-plan", "--objective", "front", "--out", place / "front")
    refused(front, "--with-cpu-plan", "--objective front")


def test_a_plan_without_qpus_needs_none_beside_it(tmp_path: Path) -> None:
    model = write_tiny_model(tmp_path / "tiny.onnx")
    ran = explore(*QUICK, "--model", model, *stored(tmp_path), "--with-cpu-plan")
    assert ran.exit_code == 0, ran.output
    assert "uses no QPUs" in ran.stdout and not (tmp_path / "out" / "cpu_plan.json").exists()
    assert read_manifest(tmp_path / "out" / "bundle").cpu_plan is None


@pytest.mark.parametrize("device", ["pi-4", "pi-2"])
def test_python_loads_a_bundle_for_another_cpu_on_this_machine(tmp_path: Path, device: str) -> None:
    model = write_tiny_model(tmp_path / "tiny.onnx")
    ran = null_run(model, tmp_path, "--device", device)
    assert ran.exit_code == 0, ran.output
    array = np.random.default_rng(2).normal(size=(1, 3, 8, 8)).astype(np.float32)
    with open_run(tmp_path / "out").load_bundle() as loaded:
        found = loaded.run({"x": array})["y"]
    session = onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"])
    wanted = np.asarray(session.run(["y"], {"x": array})[0])
    assert np.abs(found - wanted).max() <= 1e-5 * np.abs(wanted).max()
