from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from explorer.errors import RunDataError
from explorer.runs.data import open_run
from explorer.runs.explain import explain
from explorer.runs.reasons import REASON_COLUMNS
from tests.explorer.command_line import explore, refused
from tests.explorer.run_shapes import MakeRun


def test_every_measured_candidate_has_its_reason(make_run: MakeRun) -> None:
    run = open_run(make_run())
    assert run.samples is not None and run.reasons is not None
    assert tuple(run.reasons.columns) == tuple(REASON_COLUMNS)
    assert sorted(run.reasons["candidate"]) == sorted(run.samples["candidate"])
    assert (run.reasons["reason"] != "").all() and (run.reasons["round"] >= 1).all()


def test_the_winner_and_what_the_runner_up_lost_by(make_run: MakeRun) -> None:
    place = make_run()
    run = open_run(place)
    step = next(step for step in run.plan.steps if step.name == "second")
    found = explain(run, "second")
    assert found.winner is not None and found.winner.through_s is not None
    assert found.winner.algorithm == step.choice.algorithm
    times = [one.time_s for one in found.candidates if one.time_s is not None]
    assert times == sorted(times) and times
    least_s = min(one.through_s for one in found.candidates if one.through_s is not None)
    assert (
        least_s <= found.winner.through_s <= 1.05 * least_s
    )  # a robust plan is not the fastest under each profile
    shown = explore("explain", place, "second")
    assert shown.exit_code == 0, shown.output
    for text in ("chosen", step.choice.algorithm, "runner-up"):
        assert text in shown.stdout


def test_a_layer_that_the_plan_has_not(make_run: MakeRun) -> None:
    place = make_run()
    refused(explore("explain", place, "stem"), "RunDataError", "'stem'", "second")


def test_a_run_without_reasons(make_run: MakeRun) -> None:
    place = make_run()
    (place / "reasons.csv").unlink()
    with pytest.raises(RunDataError, match=r"reasons\.csv.*make the run again"):
        explain(open_run(place), "second")
    pd.DataFrame({"round": [1]}).to_csv(place / "reasons.csv", index=False)
    with pytest.raises(RunDataError, match="no column 'spec_hash'"):
        explain(open_run(place), "second")


def test_plans_alone_have_none(make_run: MakeRun, tmp_path: Path) -> None:
    plan = make_run() / "plan.json"
    alone = tmp_path / "alone"
    alone.mkdir()
    (alone / "plan.json").write_bytes(plan.read_bytes())
    with pytest.raises(RunDataError, match=r"reasons\.csv"):
        explain(open_run(alone), "second")
