from __future__ import annotations

import json
from typing import Any

import pandas as pd
import pytest

from explorer.errors import ReportError
from explorer.report.section import ReportSection, report_sections
from explorer.report.sections import candidates, front, layers, network, prediction, reproduction, summary
from explorer.report.sections.staircase import unbeaten
from explorer.runs.data import open_run
from explorer.runs.frames import timed_candidates
from tests.explorer.run_shapes import MakeRun
from tests.explorer.section_conformance import ReportSectionConformance


@pytest.mark.parametrize("section", report_sections(), ids=lambda section: section.name)
class TestEverySection(ReportSectionConformance):
    pass


def test_the_built_in_sections_come_in_the_order_of_their_places() -> None:
    names = [section.name for section in report_sections()]
    wanted = ["summary", "trade_offs", "layers", "predicted_against_measured", "reproduction"]
    assert [name for name in names if name in wanted] == wanted


def test_two_sections_of_one_name_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    class Twice:
        value = "some.plugin:Summary"

        def __init__(self, name: str) -> None:
            self.name = name

        def load(self) -> type[ReportSection]:
            return summary.Summary

    monkeypatch.setattr("explorer.report.section.entry_points", lambda group: [Twice("a"), Twice("b")])
    with pytest.raises(ReportError, match=r"two report sections are named 'summary'.*some\.plugin"):
        report_sections.__wrapped__()


def test_the_headline_has_time_kind_and_speed_up(make_run: MakeRun) -> None:
    run = open_run(make_run())
    text = summary.headline(run).text
    assert "tiny on pi-zero" in text and "(modelled + simulated)" in text
    assert f"{run.speedup:.3g} times as fast as the best plan without QPUs (modelled)" in text


def test_the_reading_of_layer_times_follows_from_the_times(make_run: MakeRun) -> None:
    directory = make_run()
    content = json.loads((directory / "summary.json").read_text())
    for step in content["steps"]:
        step["run_s"] = 0.040 if step["name"] == "classifier" else 0.005
    content["check"]["time_s"] = 0.1
    (directory / "summary.json").write_text(json.dumps(content))
    reading = layers.layer_table(open_run(directory)).note
    assert "The longest is classifier with 40 ms." in reading
    assert "100 ms (modelled + simulated)" in reading


def test_steps_that_take_as_long_share_the_first_place(make_run: MakeRun) -> None:
    directory = make_run()
    content = json.loads((directory / "summary.json").read_text())
    for step in content["steps"]:
        step["run_s"] = {"first": 0.0399, "classifier": 0.040}.get(step["name"], 0.005)
    (directory / "summary.json").write_text(json.dumps(content))
    note = layers.layer_table(open_run(directory)).note
    assert "The longest are classifier and first with 40 ms each." in note


def test_a_front_is_read_from_its_columns(make_run: MakeRun) -> None:
    reading = front.front_figure(open_run(make_run("front"))).reading
    assert "Of 3 plans (modelled + simulated) none is beaten" in reading
    assert "the fastest takes 10 ms" in reading
    assert "39 KiB instead of 88 KiB at 30 times as much latency" in reading
    assert "the fastest also needs the CPU least, 1 ms" in reading
    assert "as fast" not in reading


def test_what_memory_costs_no_latency_is_said(make_run: MakeRun) -> None:
    directory = make_run("front")
    with (directory / "front.csv").open("a") as file:
        file.write("plan-4,0.01005,60000,0,0.003,0.4,simulated,modelled\n")
    reading = front.front_figure(open_run(directory)).reading
    assert "Of those as fast within 1 %, plan-4 holds least, 59 KiB." in reading


def test_a_plan_that_another_beats_is_said_to_be_beaten(make_run: MakeRun) -> None:
    directory = make_run("front")
    with (directory / "front.csv").open("a") as file:
        file.write("plan-4,0.4,50000,0,0.3,0.4,modelled,modelled\n")
    run = open_run(directory)
    assert run.front is not None
    assert "1 are beaten" in front.front_figure(run).reading


def test_a_front_of_one_plan_has_a_reading_of_its_own(make_run: MakeRun) -> None:
    directory = make_run("front")
    lines = (directory / "front.csv").read_text().splitlines()[:2]
    (directory / "front.csv").write_text("\n".join(lines) + "\n")
    assert "The front has one plan (simulated): 10 ms" in front.front_figure(open_run(directory)).reading


def test_unbeaten_points_go_down_from_left_to_right() -> None:
    across, up = pd.Series([1.0, 2.0, 2.0, 3.0, 4.0]), pd.Series([5.0, 4.0, 3.0, 3.5, 1.0])
    assert unbeaten(across, up) == [0, 2, 4]


def test_candidates_are_those_that_worked_and_are_not_far_slower(make_run: MakeRun) -> None:
    directory = make_run()
    before = {layer.name: layer for layer in candidates.longest_layers(open_run(directory))}
    samples = pd.read_csv(directory / "samples.csv", dtype=str, keep_default_na=False)
    layer = before["first"]
    unchosen = layer.rows[~layer.chosen].nlargest(2, "time_s").index  # far slower is so beside the fastest
    samples.loc[unchosen[0], "status"] = "wrong"
    samples.loc[unchosen[1], "time_s"] = "1000.0"
    samples.to_csv(directory / "samples.csv", index=False)
    after = {layer.name: layer for layer in candidates.longest_layers(open_run(directory))}["first"]
    assert len(after.rows) == len(layer.rows) - 2
    assert after.slower == layer.slower + 1
    assert after.chosen.sum() == 1


def test_errors_of_predictions_are_those_of_the_samples(make_run: MakeRun) -> None:
    directory = make_run()
    samples = pd.read_csv(directory / "samples.csv", dtype=str, keep_default_na=False)
    samples["predicted_s"] = (1.1 * samples["time_s"].astype(float)).map(repr)
    samples.to_csv(directory / "samples.csv", index=False)
    run = open_run(directory)
    points = timed_candidates(run)
    assert set(points["kind"]) == {"simulated"}
    assert (
        f"Half of {len(points)} candidates are predicted within 10.0 %"
        in prediction.prediction_figure(run).reading
    )
    table = prediction.errors_by_algorithm(run).frame
    assert table["mean error, %"].round(6).eq(10).all()


def test_the_commands_are_those_of_the_run(make_run: MakeRun) -> None:
    lines = reproduction.commands(open_run(make_run())).lines
    assert lines[0].startswith("explore run --device pi-zero --model tiny.onnx ")
    assert "--layer-budget 3" in lines[0] and "--seed 0" in lines[0]
    assert lines[1] == "explore compile plan.json --model tiny.onnx --out again-bundle"


def test_a_plan_alone_asks_for_its_model(make_run: MakeRun) -> None:
    lines = reproduction.commands(open_run(make_run("plan only"))).lines
    assert "--model MODEL.onnx" in lines[0]


def test_a_built_in_network_needs_no_model_file(make_run: MakeRun) -> None:
    directory = make_run()
    words: list[Any] = ["explore", "run", "--device", "pi-zero"]
    (directory / "run.json").write_text(json.dumps({"format": 2, "command": words}))
    (directory / "model.onnx").write_bytes(b"")
    lines = reproduction.commands(open_run(directory)).lines
    assert "--model" not in lines[0] and "--model model.onnx" in lines[1]


def test_a_tie_is_no_difference_and_a_thousandth_of_the_bytes_is_none(make_run: MakeRun) -> None:
    directory = make_run()
    samples = pd.read_csv(directory / "samples.csv", dtype=str, keep_default_na=False)
    working = samples["status"] == "ok"
    samples.loc[working, "time_s"] = [
        repr(0.01 * (1 + 0.004 * (number % 2))) for number in range(working.sum())
    ]
    samples.loc[working, "traffic_bytes"] = [
        repr(1e6 * (1 - 0.001 * (number % 2))) for number in range(working.sum())
    ]
    samples.to_csv(directory / "samples.csv", index=False)
    reading = candidates.candidates_figure(open_run(directory)).reading
    assert "within 1 % of the fastest in each; nowhere would fewer bytes cost time." in reading


def test_what_fewer_bytes_cost_is_said_beside_the_leanest_of_the_fastest(make_run: MakeRun) -> None:
    directory = make_run()
    layer = next(one for one in candidates.longest_layers(open_run(directory)) if len(one.rows) > 2)
    samples = pd.read_csv(directory / "samples.csv", dtype=str, keep_default_na=False)
    rows = list(layer.rows.index)
    others = samples.index[samples["spec_hash"] == layer.rows["spec_hash"].iloc[0]].difference(rows)
    samples.loc[others, "status"] = "failed"
    samples.loc[rows, "time_s"], samples.loc[rows, "traffic_bytes"] = "0.01", "1000000.0"
    samples.loc[rows[-1], ["time_s", "traffic_bytes"]] = ["0.03", "500000.0"]
    samples.to_csv(directory / "samples.csv", index=False)
    changed = next(one for one in candidates.longest_layers(open_run(directory)) if one.name == layer.name)
    assert changed.saved_bytes_share == pytest.approx(0.5)
    assert changed.leanest["time_s"] == 0.03 and changed.is_fastest


def test_the_graph_is_cut_between_rows_and_has_every_step_once(make_run: MakeRun) -> None:
    tops = [12.0, 130.0, 250.0, 370.0, 480.0]
    assert network._cuts(tops, 600) == [0.0, 355.0, 600.0]
    assert network._cuts(tops[:1], 130) == [0.0, 130.0]
    run = open_run(make_run("run"))
    drawn = str(network.graph(run).markup())
    for number in range(1, len(run.plan.steps) + 1):
        assert drawn.count(f'data-layer="{number}"') == 1
