from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from explorer.errors import RunDataError
from explorer.runs.compare import compare
from explorer.runs.data import open_run
from tests.explorer.command_line import explore
from tests.explorer.run_shapes import MakeRun


def edit(path: Path, **changes: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_a_run_is_computed_like_itself(make_run: MakeRun) -> None:
    run = open_run(make_run())
    comparison = compare(run, run)
    assert comparison.ratio == 1
    assert [row.layer for row in comparison.rows] == [step.name for step in run.plan.steps]
    assert all(row.ratio in (None, 1.0) and not row.differs for row in comparison.rows)


def test_decisions_that_differ_are_named_and_times_compared(make_run: MakeRun) -> None:
    first, second = make_run("run", "a"), make_run("run", "b")
    summary = json.loads((second / "summary.json").read_text())
    plan = json.loads((second / "plan.json").read_text())
    index = next(i for i, step in enumerate(plan["steps"]) if step["name"] == "second")
    summary["steps"][index]["run_s"] *= 2
    plan["steps"][index]["choice"]["tile"] = [["rows", 77]]
    (second / "summary.json").write_text(json.dumps(summary))
    (second / "plan.json").write_text(json.dumps(plan))
    rows = {row.layer: row for row in compare(open_run(first), open_run(second)).rows}
    assert rows["second"].differs == ("tile",)
    assert rows["second"].ratio == pytest.approx(2)


def test_the_decisions_behind_a_difference_are_told_largest_first(make_run: MakeRun) -> None:
    first, second = make_run("plan only", "a"), make_run("plan only", "b")
    plan = json.loads((second / "plan.json").read_text())
    timed = [step for step in plan["steps"] if step["choice"]["tile"] and step["predicted_s"] > 0]
    small, large, alike = timed[:3]
    for step, more_s in ((small, 0.001), (large, 0.5), (alike, 2.0)):
        for name in ("predicted_s", "high_s"):
            step[name] += more_s
    for step in (small, large):
        step["choice"]["tile"] = [["rows", 77]]
    plan["predicted_s"] += 3
    plan["high_s"] += 3
    (second / "plan.json").write_text(json.dumps(plan))
    (row,) = compare(open_run(first), open_run(second)).explaining
    assert row.layer == large["name"] and row.gap_s == pytest.approx(0.5)
    told = explore("compare", str(first / "plan.json"), str(second / "plan.json"))
    assert f"{large['name']}: +500 ms, tile rows=77 in place of " in " ".join(told.output.split())
    assert compare(open_run(first), open_run(first)).explaining == ()


def test_a_step_of_one_side_alone_stands_where_it_runs(make_run: MakeRun) -> None:
    first, second = make_run("plan only", "a"), make_run("plan only", "b")
    plan = json.loads((second / "plan.json").read_text())
    names = [step["name"] for step in plan["steps"]]
    plan["steps"][1]["name"] = "only here"
    (second / "plan.json").write_text(json.dumps(plan))
    rows = compare(open_run(first), open_run(second)).rows
    assert [row.layer for row in rows] == [names[0], "only here", *names[1:]]
    assert rows[1].first is None and rows[2].second is None
    assert rows[1].ratio is None


def test_like_is_compared_with_like_where_one_was_never_run(make_run: MakeRun) -> None:
    directory = make_run()
    comparison = compare(open_run(directory), open_run(directory / "plan.json"))
    assert not comparison.in_the_run
    run = open_run(directory)
    assert comparison.totals_s == (run.plan.predicted_s, run.plan.predicted_s)
    launch_s = run.report.launch_overhead_s if run.report else 0.0
    for row in comparison.rows:
        assert row.first and row.second
        assert row.first.time_s - row.second.time_s == pytest.approx(0, abs=1.01 * launch_s)


def test_networks_without_a_common_layer_are_refused(make_run: MakeRun) -> None:
    first, second = make_run("plan only", "a"), make_run("plan only", "b")
    plan = json.loads((second / "plan.json").read_text())
    for number, step in enumerate(plan["steps"]):
        relayout = step["name"].startswith("relayout:")
        step["name"] = step["name"].replace("relayout:", "relayout:other ") if relayout else f"other {number}"
        for side in ("inputs", "outputs"):
            step[side] = [f"other {tensor}" for tensor in step[side]]
    for tensor in (*plan["inputs"], *plan["outputs"]):
        tensor["name"] = f"other {tensor['name']}"
    (second / "plan.json").write_text(json.dumps(plan))
    with pytest.raises(RunDataError, match="no layer of the same name"):
        compare(open_run(first), open_run(second))


def test_the_table_says_what_the_times_are(make_run: MakeRun) -> None:
    first, second = make_run("run", "a"), make_run("run", "b")
    summary = json.loads((second / "summary.json").read_text())
    for step in summary["steps"]:
        step["run_kind"] = "host"
    (second / "summary.json").write_text(json.dumps(summary))
    result = explore("compare", first, second)
    assert result.exit_code == 0, result.output
    assert "simulated / host" in result.output
    assert "a ratio between them is no measurement" in result.output
    assert "total" in result.output and "classifier" in result.output


def test_a_device_means_its_run_of_the_other_side_s_model(make_run: MakeRun, tmp_path: Path) -> None:
    first = make_run("run", "a")
    second = make_run("plan only", "b")
    edit(second / "plan.json", device="host")
    other = make_run("plan only", "c")
    edit(other / "plan.json", device="host", model_sha256="0" * 64)
    result = explore("compare", "pi-zero", "host", "--runs", tmp_path)
    assert result.exit_code == 0, result.output
    assert str(second) in result.output.replace("\n", "") and str(other) not in result.output
    shutil.copytree(first, tmp_path / "d")
    result = explore("compare", "pi-zero", "host", "--runs", tmp_path)
    assert result.exit_code == 2
    assert "name the directories" in result.stderr


def test_what_is_neither_run_nor_device_is_refused(make_run: MakeRun, tmp_path: Path) -> None:
    result = explore("compare", make_run(), "pi-nine", "--runs", tmp_path)
    assert result.exit_code == 2
    assert "'pi-nine' is no run" in result.stderr and "explore runs" in result.stderr


def test_runs_are_listed_with_time_kind_speed_up_and_error(make_run: MakeRun, tmp_path: Path) -> None:
    run = open_run(make_run("run", "good"))
    make_run("plan only", "planned")
    (make_run("run", "broken") / "summary.json").write_text("{")
    wrong = make_run("run", "wrong")
    assert run.report is not None and run.report.check is not None
    check = json.loads((wrong / "summary.json").read_text())["check"]
    edit(wrong / "summary.json", check={**check, "largest_error": 0.5, "same_top5": False})
    result = explore("runs", tmp_path)
    assert result.exit_code == 0, result.output
    lines = {line.split()[0]: line for line in result.output.splitlines() if "pi-zero" in line}
    for text in (
        "tiny",
        "virtual pi-zero",
        "simulated",
        f"{run.speedup:.3g}x",
        f"{run.report.check.largest_error:.2e}",
    ):
        assert text in lines["good"]
    assert "a plan only" in result.output
    assert "WRONG: allowed 0.001" in lines["wrong"]
    assert "JSON" in result.output


def test_a_directory_without_runs_says_how_to_make_one(tmp_path: Path) -> None:
    result = explore("runs", tmp_path)
    assert result.exit_code == 0 and "explore run" in result.output
    result = explore("runs", tmp_path / "absent")
    assert result.exit_code == 2 and "RunDataError" in result.stderr
