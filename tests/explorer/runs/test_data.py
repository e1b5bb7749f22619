from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from codegen.plan import read_plan
from explorer.errors import RunDataError
from explorer.runs.data import FRONT_COLUMNS, open_run, open_runs
from explorer.runs.files import SAMPLE_COLUMNS, command_text
from explorer.runs.frames import STEP_COLUMNS, steps_frame
from explorer.search.layer_search import SearchSettings
from explorer.settings import RehearsalSettings, RunSettings
from microbench.options import SshOptions
from tests.explorer.command_line import explore
from tests.explorer.run_shapes import MakeRun
from tests.explorer.tiny import write_tiny_model


def test_a_run_comes_back_as_it_was_written(make_run: MakeRun) -> None:
    run = open_run(make_run())
    assert run.report is not None and run.report.check is not None
    assert run.time_s == run.report.check.time_s
    assert run.kinds == ("modelled", "simulated")
    assert run.board == "virtual pi-zero"
    content = json.loads((run.directory / "summary.json").read_text())
    assert run.speedup == pytest.approx(content["speedup"])
    assert [step.choice for step in run.report.steps] == [step.choice for step in run.plan.steps]


def test_samples_have_every_candidate_of_the_plan(make_run: MakeRun) -> None:
    run = open_run(make_run())
    assert run.samples is not None
    assert list(run.samples.columns) == list(SAMPLE_COLUMNS)
    steps = steps_frame(run)
    assert list(steps.columns) == list(STEP_COLUMNS)
    assert set(steps["candidate"]) <= set(run.samples["candidate"])
    chosen = run.samples[run.samples["candidate"].isin(steps["candidate"])]
    assert (chosen["status"] == "ok").all()
    assert (chosen["traffic_bytes"] > 0).any()
    timed = run.samples[(run.samples["kind"] == "simulated") & (run.samples["status"] == "ok")]
    assert (timed["predicted_low_s"] <= timed["predicted_s"]).all()
    assert (timed["predicted_s"] <= timed["predicted_high_s"]).all()


def test_equal_runs_write_equal_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = write_tiny_model(tmp_path / "tiny.onnx")
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        monkeypatch.chdir(tmp_path / name)
        place = ["--store", "samples.sqlite", "--out", "out"]
        words: list[str | Path] = ["run", "--board", "null", "--layer-budget", "3", "--model", model, *place]
        assert explore(*words).exit_code == 0
    for name in ("samples.csv", "run.json", "summary.json"):
        one, two = (tmp_path / place / "out" / name for place in ("one", "two"))
        assert one.read_bytes() == two.read_bytes()


def test_a_plan_alone_has_its_own_times(make_run: MakeRun) -> None:
    run = open_run(make_run("plan only"))
    assert run.report is None and run.samples is None and run.front is None and run.command is None
    assert run.time_s == run.plan.predicted_s
    assert list(steps_frame(run)["time_s"]) == [step.predicted_s for step in run.plan.steps]


def test_a_plan_file_is_a_plan_alone(make_run: MakeRun) -> None:
    run = open_run(make_run() / "plan.json")
    assert run.report is None
    assert run.plan == read_plan(run.directory / "plan.json")


def test_the_command_names_files_and_no_places(tmp_path: Path) -> None:
    settings = RunSettings(
        device=str(tmp_path / "my board.toml"),
        model=tmp_path / "net.onnx",
        ssh=SshOptions("pi.example", 22, "someone", None, None),
        board_options={"serial": "R58M123"},
        v3d_hz=3e8,
        gpu_memory="cached",
        shapes={"x": (1, 3, 8, 8)},
        search=SearchSettings(seed=5, layer_budget=7),
        rehearsal=RehearsalSettings(rounds=2),
    )
    text = command_text(settings, "0" * 64)
    for private in (str(tmp_path), "pi.example", "someone", "R58M123"):
        assert private not in text
    words = json.loads(text)["command"]
    assert words[:6] == ["explore", "run", "--device", "my board.toml", "--model", "net.onnx"]
    assert words[6:8] == ["--shape", "x=1,3,8,8"]
    assert words[8:12] == ["--board-option", "serial=SERIAL", "--ssh", "USER@HOST"]
    assert words[-10:-6] == ["--cost-model", "residual", "--strategy", "expected_gain"]
    assert words[-6:-2] == ["--seed", "5", "--layer-budget", "7"]
    assert words[-2:] == ["--rehearsals", "2"]
    assert words[words.index("--v3d-hz") + 1] == "300000000"
    assert words[words.index("--gpu-memory") + 1] == "cached"


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("summary.json", "{", "not JSON"),
        ("summary.json", "[]", "no JSON object"),
        ("summary.json", '{"format": 99}', "format 99"),
        ("summary.json", '{"format": 3}', "summary.json: model"),
        ("samples.csv", "", "samples.csv is damaged"),
        ("samples.csv", "layer,kind\nx,host\n", "no column"),
        (
            "samples.csv",
            ",".join(SAMPLE_COLUMNS) + "\n" + ",".join("x" for _ in SAMPLE_COLUMNS),
            "samples.csv",
        ),
        ("samples.csv", 'layer\n"x', "samples.csv is damaged"),
        ("run.json", '{"format": 2, "command": "rm"}', "run.json"),
        ("front.csv", "plan,latency_s\n1,2\n", "no column 'peak_memory_bytes'"),
    ],
)
def test_a_damaged_file_is_named(make_run: MakeRun, file: str, content: str, message: str) -> None:
    directory = make_run("front")
    (directory / file).write_text(content)
    with pytest.raises(RunDataError, match=message):
        run = open_run(directory)
        _ = (run.samples, run.front, run.command)


def test_a_binary_file_is_no_table(make_run: MakeRun) -> None:
    directory = make_run()
    (directory / "samples.csv").write_bytes(b"\xff\xfe\x00\x81")
    with pytest.raises(RunDataError, match=r"samples\.csv"):
        _ = open_run(directory).samples


def test_an_empty_front_is_none(make_run: MakeRun) -> None:
    directory = make_run("front")
    (directory / "front.csv").write_text(",".join(FRONT_COLUMNS) + "\n")
    assert open_run(directory).front is None


def test_a_summary_of_another_plan_is_refused(make_run: MakeRun) -> None:
    directory = make_run()
    content = json.loads((directory / "summary.json").read_text())
    content["steps"].pop()
    (directory / "summary.json").write_text(json.dumps(content))
    with pytest.raises(RunDataError, match=r"not of the run that wrote .*plan\.json"):
        open_run(directory)


def test_runs_of_a_directory_are_listed_with_the_damaged_ones(make_run: MakeRun, tmp_path: Path) -> None:
    make_run("run", "b")
    make_run("plan only", "a")
    (make_run("run", "c") / "plan.json").write_text("{")
    (tmp_path / "d").mkdir()
    runs = open_runs(tmp_path)
    assert [place.name for place, _ in runs] == ["a", "b", "c"]
    assert isinstance(runs[2][1], str) and "not JSON" in runs[2][1]


def test_messages_with_commas_and_lines_stay_in_their_cell(make_run: MakeRun) -> None:
    directory = make_run()
    path = directory / "samples.csv"
    rows = list(csv.reader(path.open(newline="")))
    rows[1][-1] = 'NA, "two"\nlines'
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    samples = open_run(directory).samples
    assert samples is not None and samples["message"].iloc[0] == 'NA, "two"\nlines'
