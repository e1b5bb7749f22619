"""Fronts from end to end: swept, compiled, run and measured."""

from __future__ import annotations

import json
from pathlib import Path

import optuna
import pandas as pd
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from codegen.bundle import read_manifest
from codegen.plan import read_plan
from explorer.front.front import activation_bytes
from explorer.front.pareto import dominated
from explorer.front.search import TRIALS
from explorer.runs.data import FRONT_COLUMNS
from microbench.profile import load_profile
from tests.explorer.command_line import explore
from tests.explorer.tiny import write_tiny_model

OBJECTIVES = ["latency_s", "peak_memory_bytes", "cpu_time_s", "energy_j"]


def run(directory: Path, model: Path, *words: str) -> str:
    arguments: list[str | Path] = [
        "run",
        "--layer-budget",
        "2",
        "--model",
        model,
        "--store",
        directory / "samples.sqlite",
    ]
    arguments += ["--out", directory / "out", *words]
    result = explore(*arguments)
    assert result.exit_code == 0, result.output
    return result.output


@pytest.fixture(scope="module")
def virtual_front(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("front")
    model = write_tiny_model(directory / "tiny.onnx", side=48, channels=64)
    run(directory, model, "--device", "pi-zero", "--objective", "front")
    return directory


def test_the_study_of_a_front_is_kept_where_optuna_opens_it(virtual_front: Path) -> None:
    file = virtual_front / "out" / "front-study.log"
    study = optuna.load_study(study_name="front", storage=JournalStorage(JournalFileBackend(str(file))))
    assert len(study.trials) == TRIALS and study.best_trials
    assert study.metric_names is not None and study.metric_names[0] == "latency_s"
    assert set(study.best_trials[0].params) >= {"qpus", "cores_free", "cap_bytes"}


def test_every_plan_of_a_front_was_run_and_is_beaten_by_none(virtual_front: Path) -> None:
    out = virtual_front / "out"
    front = pd.read_csv(out / "front.csv")
    assert list(front.columns) == list(FRONT_COLUMNS)
    assert len(front) >= 2
    assert not dominated(front[OBJECTIVES].to_numpy(float)).any()
    details = {plan["name"]: plan for plan in json.loads((out / "front.json").read_text())["plans"]}
    for row in front.itertuples():
        plan = read_plan(out / "front" / str(row.plan) / "plan.json")
        manifest = read_manifest(out / "front" / str(row.plan) / "bundle")
        assert row.peak_memory_bytes == plan.peak_activation_bytes == activation_bytes(manifest)
        assert details[row.plan]["largest_error"] < 1e-3
        cap = details[row.plan]["knobs"]["cap_bytes"]
        assert cap is None or row.peak_memory_bytes <= cap


def test_less_memory_is_bought_by_more_launches_or_by_the_cpu(virtual_front: Path) -> None:
    front = pd.read_csv(virtual_front / "out" / "front.csv")
    fastest, smallest = front.iloc[0], front.iloc[front["peak_memory_bytes"].argmin()]
    assert smallest["peak_memory_bytes"] < fastest["peak_memory_bytes"]
    assert smallest["latency_s"] > fastest["latency_s"]
    assert smallest["cpu_time_s"] > fastest["cpu_time_s"]


def test_energy_says_what_it_is(virtual_front: Path) -> None:
    front = pd.read_csv(virtual_front / "out" / "front.csv")
    assert set(front["energy_kind"]) == {"modelled"}
    profile = load_profile("pi-zero")
    least_w, most_w = profile.power_value("idle_w"), 10.0
    assert (front["energy_j"] > least_w * front["latency_s"]).all()
    assert (front["energy_j"] < most_w * front["latency_s"]).all()


def test_the_same_front_comes_out_again(virtual_front: Path) -> None:
    before = {name: (virtual_front / "out" / name).read_bytes() for name in ("front.csv", "front.json")}
    kept = sorted(virtual_front.glob("out/front/plan-*/runs.json"))
    (virtual_front / "out" / "front" / "plan-99").mkdir()
    kept[0].write_text("torn")
    texts = [path.read_text() for path in kept[1:]]
    run(virtual_front, virtual_front / "tiny.onnx", "--device", "pi-zero", "--objective", "front")
    assert sorted(virtual_front.glob("out/front/plan-*/runs.json")) == kept
    assert [path.read_text() for path in kept[1:]] == texts and kept[0].read_text() != "torn"
    assert {name: (virtual_front / "out" / name).read_bytes() for name in before} == before


def test_a_plain_run_leaves_no_front_of_an_earlier_one(tmp_path: Path) -> None:
    model = write_tiny_model(tmp_path / "tiny.onnx")
    output = run(tmp_path, model, "--device", "host", "--objective", "front")
    assert "front of latency, activations and CPU time" in output
    assert len(pd.read_csv(tmp_path / "out" / "front.csv")) >= 1
    run(tmp_path, model, "--device", "host", "--overwrite")
    assert not [path for path in (tmp_path / "out").iterdir() if path.name.startswith("front")]


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("--objective", "speed"), "--objective 'speed' is unknown"),
        (("--objective", "front", "--board", "null"), "the null board runs nothing"),
        (("--price", "speed=1"), "nothing called 'speed' can be priced here; there are cpu-time, energy"),
        (
            ("--device", "host", "--price", "energy=1"),
            "nothing called 'energy' can be priced here; there are cpu-time",
        ),
        (("--price", "energy"), "--price 'energy' is malformed"),
        (("--price", "energy=-1"), "prices['energy'] cannot be -1"),
        (("--price", "energy=1", "--robust"), "--price chooses one plan"),
        (("--qpus", "13"), "has 12 QPUs; 13 of them cannot be used"),
        (("--device", "host", "--qpus", "1"), "has 0 QPUs"),
    ],
)
def test_what_cannot_be_done_is_said_at_once(tmp_path: Path, words: tuple[str, ...], complaint: str) -> None:
    model = write_tiny_model(tmp_path / "tiny.onnx")
    arguments = ["run", "--model", str(model), "--out", str(tmp_path / "out"), *words]
    result = explore(*arguments)
    assert result.exit_code == 2
    assert complaint in " ".join(result.output.split())


def test_fewer_qpus_make_a_plan_that_says_so(tmp_path: Path) -> None:
    model = write_tiny_model(tmp_path / "tiny.onnx", side=48, channels=64)
    run(tmp_path, model, "--device", "pi-zero", "--qpus", "4")
    assert read_plan(tmp_path / "out" / "plan.json").qpus == 4
    plan = tmp_path / "out" / "plan.json"
    result = explore("compile", plan, "--model", model, "--out", tmp_path / "again")
    assert result.exit_code == 0, result.output
    first, again = tmp_path / "out" / "bundle", tmp_path / "again"
    for path in (path for path in first.rglob("*") if path.is_file()):
        assert (again / path.relative_to(first)).read_bytes() == path.read_bytes()


def test_a_price_of_energy_buys_less_of_it(virtual_front: Path, tmp_path: Path) -> None:
    model = virtual_front / "tiny.onnx"
    run(virtual_front, model, "--device", "pi-zero", "--price", "energy=1000000", "--overwrite")
    cheap = read_plan(virtual_front / "out" / "plan.json")
    command = json.loads((virtual_front / "out" / "run.json").read_text())["command"]
    assert command[command.index("--price") + 1] == "energy=1e+06"
    run(virtual_front, model, "--device", "pi-zero", "--overwrite")
    assert cheap.predicted_s >= read_plan(virtual_front / "out" / "plan.json").predicted_s
