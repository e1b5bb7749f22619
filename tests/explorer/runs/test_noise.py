"""The noise floor stands with every table of times, and says what it is the spread of."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from explorer.report.exhibits import Exhibit
from explorer.report.sections import front, summary
from explorer.runs.compare import compare
from explorer.runs.compare_table import comparison_lines
from explorer.runs.data import open_run
from explorer.runs.listing import runs_sheet
from explorer.runs.noise import NO_CLOCK, noise_of_report, noise_of_run, noise_text, verdict
from explorer.runs.tables import summary_lines
from microbench.protocol import ReferenceTimes
from tests.explorer.run_shapes import MakeRun
from tests.explorer.runs.test_tables import report, shown

REFERENCE = ReferenceTimes(14, 3.12e-4, "silicon")


def clocked(directory: Path, floor: float | None, timings: int) -> Path:
    """The run as if a clock had been read in it."""
    path = directory / "summary.json"
    content = json.loads(path.read_text())
    for step in content["steps"]:
        step["run_kind"] = step["expected_kind"] = "silicon"
    content |= {
        "noise_floor": floor,
        "reference": {"timings": timings, "median_s": 3.12e-4, "kind": "silicon"},
    }
    path.write_text(json.dumps(content))
    return directory


def test_a_floor_says_what_it_is_the_spread_of() -> None:
    text = noise_text(0.0123, REFERENCE, ("silicon",))
    assert text == "±1.2 %, half the spread of 14 timings of a reference kernel, median 312 us (silicon)"
    assert "spread of a reference kernel" in noise_text(0.0, None, ("host",))


def test_times_without_a_clock_have_none_and_too_few_references_are_told() -> None:
    assert noise_text(None, None, ("simulated", "modelled")) == f"modelled and simulated: {NO_CLOCK}"
    assert "timed 0 times, 3" in noise_text(None, None, ("host",))
    assert "timed 2 times" in noise_text(None, ReferenceTimes(2, 1e-3, "host"), ("host", "modelled"))


@pytest.mark.parametrize(
    ("ratio", "floors", "word"),
    [(1.02, (0.01, 0.02), "within"), (0.96, (0.01, 0.02), "beyond"), (1.02, (0.03, None), "within")],
)
def test_a_ratio_is_held_against_both_floors(
    ratio: float, floors: tuple[float | None, ...], word: str
) -> None:
    assert word in verdict(ratio, floors)


def test_times_without_a_clock_need_no_verdict() -> None:
    assert verdict(1.5, (None, None)) == ""


def test_every_summary_has_it() -> None:
    assert noise_of_report(report()) == f"simulated: {NO_CLOCK}"
    assert dict(summary_lines(report()))["noise floor"] == f"simulated: {NO_CLOCK}"


def test_a_run_s_files_hold_it_and_old_ones_are_read(make_run: MakeRun) -> None:
    assert noise_of_run(open_run(make_run("run", "simulated"))).endswith(f"simulated: {NO_CLOCK}")
    run = open_run(clocked(make_run("run", "clocked"), 0.02, 9))
    assert "±2.0 %, half the spread of 9 timings" in noise_of_run(run)
    path = make_run("run", "old") / "summary.json"
    content = json.loads(path.read_text())
    del content["reference"]
    path.write_text(json.dumps(content))
    assert noise_of_run(open_run(path.parent)).endswith(f"simulated: {NO_CLOCK}")
    assert "simulated" in noise_of_run(open_run(make_run("plan only", "plan")))


def test_the_pages_of_a_report_have_it(make_run: MakeRun) -> None:
    run = open_run(clocked(make_run("front"), 0.02, 9))
    rows = {row[0]: row[1:] for row in summary.facts(run).frame.itertuples(index=False, name=None)}
    assert rows["noise floor"][0] == "±2.0 %" and "9 timings" in rows["noise floor"][1]
    table = front.front_table(run)
    assert isinstance(table, Exhibit) and "9 timings" in table.note


def test_a_comparison_has_both_and_a_verdict(make_run: MakeRun) -> None:
    first, second = clocked(make_run("run", "a"), 0.02, 9), clocked(make_run("run", "b"), None, 1)
    lines = comparison_lines(compare(open_run(first), open_run(second)))
    assert any("noise floor of A: ±2.0 %" in line for line in lines)
    assert any("noise floor of B: unknown" in line for line in lines)
    assert any(line.startswith("B against A: +0.0 % is within") for line in lines)


def test_the_list_of_runs_has_it(make_run: MakeRun) -> None:
    places = [
        make_run("run", "a"),
        clocked(make_run("run", "b"), 0.02, 9),
        clocked(make_run("run", "c"), None, 0),
    ]
    table = runs_sheet([(place, open_run(place)) for place in places]).table()
    column = next(column for column in table.columns if "noise" in str(column.header))
    assert list(map(str, column.cells)) == ["no clock", "±2.0 %", "unknown"]


def test_tables_still_print() -> None:
    assert "conv[0]" in shown(report())
