"""How well the cost model predicts: candidates it has not seen, and the network as a whole."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from cost_models.metrics import mape, spearman
from explorer.report.drawing import WIDE, draw_point, new_panel, spans_much
from explorer.report.exhibits import CaptionedFigure, Exhibit, Panel, Sentence, counted, kinds_in_headings
from explorer.report.section import Part
from explorer.report.svg import GRID, INK, Mark
from explorer.runs.data import RunData
from explorer.runs.figures import plain_ticks
from explorer.runs.frames import steps_frame, timed_candidates, where_timed
from explorer.runs.reading import SILENT, alike
from explorer.terminal.units import seconds

SMALL = 3.5  # points: there are hundreds of candidates
TEXT = (
    "Each prediction is made by a model that has seen no candidate of that layer. Modelled times are left out of the "
    "points: they come from a formula, and to predict them would be no feat."
)


class PredictedAgainstMeasured:
    """Predictions without having seen the layer, against measurements."""

    name = "predicted_against_measured"
    title = "Predicted against measured"
    place = 40
    needs = "samples.csv or summary.json with times that were not modelled"

    def applies(self, run: RunData) -> bool:
        return len(timed_candidates(run)) > 1 or bool(steps_frame(run)["predicted_s"].notna().any())

    def parts(self, run: RunData) -> Sequence[Part]:
        shown: list[Part] = [TEXT]
        if len(timed_candidates(run)) > 1:
            shown += [prediction_figure, errors_by_algorithm]
        if steps_frame(run)["predicted_s"].notna().any():
            shown += [step_predictions, step_prediction_table, whole_network]
        return shown


def prediction_figure(run: RunData) -> CaptionedFigure:
    """A point per candidate, measured across and predicted up with its interval, and the line where both are equal."""
    points = timed_candidates(run)
    figure, axes = new_panel(4.4, 5.2)
    measured, predicted = 1e3 * points["time_s"], 1e3 * points["predicted_s"]
    low, high = 1e3 * points["predicted_low_s"], 1e3 * points["predicted_high_s"]
    axes.vlines(measured, low, high, color=GRID, linewidth=1.0, zorder=1)
    marks = {}
    for number, row in enumerate(points.to_dict("records")):
        gid = f"mark-{number}"
        draw_point(axes, 1e3 * row["time_s"], 1e3 * row["predicted_s"], str(row["algorithm"]), gid, SMALL)
        marks[gid] = Mark(
            f"{row['layer']}: {row['algorithm']}, {seconds(row['time_s'])} ({row['kind']}), predicted "
            f"{seconds(row['predicted_s'])} ({seconds(row['predicted_low_s'])} to {seconds(row['predicted_high_s'])})"
        )
    both = pd.concat([measured, predicted])
    ends = (both.min() / 1.3, both.max() * 1.3)
    axes.plot(ends, ends, color=INK, linewidth=0.8, zorder=2)
    axes.set(xscale="log", yscale="log", xlim=ends, ylim=ends)
    plain_ticks(axes.xaxis, axes.yaxis)
    axes.set_xlabel(f"measured, ms ({' + '.join(sorted(set(points['kind'])))})")
    axes.set_ylabel("predicted without having seen it, ms (modelled)")
    panel = Panel(figure, "Candidates: predicted with interval, against measured", marks)
    return CaptionedFigure([panel], _reading(points), list(points["algorithm"]))


def errors_by_algorithm(run: RunData) -> Exhibit:
    """Error and rank correlation for each algorithm and for all together."""
    points = timed_candidates(run)
    groups = [(str(name), rows) for name, rows in points.groupby("algorithm")]
    table = pd.DataFrame([_errors(name, rows) for name, rows in [*groups, ("all", points)]])
    quality = run.report.quality if run.report else None
    note = (
        f"To trust the model's first choice in each layer costs {100 * quality.scores.top_regret:.1f} % of time on "
        "average."
        if quality
        else ""
    )
    return Exhibit(table, note, "Errors of predictions")


def step_predictions(run: RunData) -> CaptionedFigure:
    """The steps of the plan by their numbers: the predicted interval, and the time in the run."""
    from matplotlib.ticker import MaxNLocator

    steps = _predicted_steps(run)
    figure, axes = new_panel(3.4, WIDE)
    low, high = 1e3 * steps["predicted_low_s"], 1e3 * steps["predicted_high_s"]
    axes.vlines(steps["step"], low, high, color=GRID, linewidth=6, zorder=1, label="predicted (modelled)")
    marks = {}
    for step in steps.to_dict("records"):
        number = int(step["step"])
        gid = f"mark-{number}"
        draw_point(axes, number, 1e3 * step["time_s"], str(step["algorithm"]), gid)
        marks[gid] = Mark(
            f"{number}. {step['layer']}: {seconds(step['time_s'])} ({step['kind']}), predicted "
            f"{seconds(step['predicted_low_s'])} to {seconds(step['predicted_high_s'])}",
            number,
        )
    if spans_much(float(steps["time_s"].min()), float(steps["time_s"].max())):
        axes.set_yscale("log")
        plain_ticks(axes.yaxis)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("step")
    axes.set_ylabel(f"ms {where_timed(run)} ({' + '.join(run.kinds)})")
    panel = Panel(figure, "Steps: predicted interval (modelled) and time", marks, wide=True)
    return CaptionedFigure([panel], _steps_reading(run, steps), list(steps["algorithm"]))


def step_prediction_table(run: RunData) -> Exhibit:
    """A row per step that was predicted."""
    steps = _predicted_steps(run)
    table = pd.DataFrame(
        {
            "step": steps["step"],
            "layer": steps["layer"],
            "algorithm": steps["algorithm"],
            "predicted, ms (modelled)": 1e3 * steps["predicted_s"],
            "from": 1e3 * steps["predicted_low_s"],
            "to": 1e3 * steps["predicted_high_s"],
            f"time {where_timed(run)}, ms": 1e3 * steps["time_s"],
            "the time is": steps["kind"],
            "time / predicted": steps["time_s"] / steps["predicted_s"],
        }
    )
    table = kinds_in_headings(table, f"time {where_timed(run)}, ms")
    return Exhibit(table, label="Steps predicted", layers=tuple(int(step) for step in steps["step"]))


def _predicted_steps(run: RunData) -> pd.DataFrame:
    steps = steps_frame(run)
    steps["step"] = range(1, len(steps) + 1)
    return steps[steps["predicted_s"].notna() & (steps["time_s"] > 0)].reset_index(drop=True)


def _steps_reading(run: RunData, steps: pd.DataFrame) -> str:
    inside = int(
        ((steps["time_s"] >= steps["predicted_low_s"]) & (steps["time_s"] <= steps["predicted_high_s"])).sum()
    )
    text = (
        f"{inside} of {counted(len(steps), 'step')} take a time {where_timed(run)} that lies within the predicted "
        "interval"
    )
    ratios = (steps["time_s"] / steps["predicted_s"]).to_numpy()
    furthest = int(np.abs(np.log(ratios)).argmax())
    name, ratio = steps["layer"].iloc[furthest], float(ratios[furthest])
    if alike(ratio, 1.0):
        return f"{text}; all are within 1 % of their predictions."
    return f"{text}; furthest from its prediction is {name}, with {ratio:.3g} times the predicted time."


def whole_network(run: RunData) -> Sentence:
    """The three totals: predicted, composed of measurements, and run."""
    steps = steps_frame(run)
    predicted_s = float(steps["predicted_s"].fillna(steps["expected_s"]).sum())
    text = f"The network as a whole: {seconds(predicted_s)} predicted (modelled)"
    report = run.report
    if report is None:
        return Sentence(f"{text}.")
    kinds = " + ".join(sorted({step.expected_kind for step in report.steps if step.expected_s > 0}))
    text += f", {seconds(report.expected_s)} composed of steps {report.how_expected} ({kinds})"
    if report.check is None:
        return Sentence(f"{text}; it was not run.")
    change = 100 * (report.check.time_s / report.expected_s - 1)
    run_text = f"{seconds(report.check.time_s)} as one bundle ({report.check.kind})"
    if alike(report.check.time_s, report.expected_s):
        return Sentence(f"{text}, and {run_text}, as composed within 1 %.")
    return Sentence(
        f"{text}, and {run_text}, {abs(change):.1f} % {'more' if change >= 0 else 'less'} than composed."
    )


def _errors(name: str, rows: pd.DataFrame) -> dict[str, object]:
    predicted, measured = list(rows["predicted_s"]), list(rows["time_s"])
    return {
        "algorithm": name,
        "candidates": len(rows),
        "mean error, %": 100 * mape(predicted, measured),
        "largest error, %": 100 * float(_error(rows).max()),
        "rank correlation": spearman(predicted, measured) if len(rows) > 1 else None,
        "measured times are": " + ".join(sorted(set(rows["kind"]))),
    }


def _error(rows: pd.DataFrame) -> pd.Series[float]:
    return ((rows["predicted_s"] - rows["time_s"]) / rows["time_s"]).abs()


def _reading(points: pd.DataFrame) -> str:
    errors = _error(points)
    worst = points.iloc[int(errors.to_numpy().argmax())]
    if errors.max() < SILENT:
        return f"All of {counted(len(points), 'candidate')} are predicted within 1 %."
    return (
        f"Half of {counted(len(points), 'candidate')} are predicted within {100 * errors.median():.1f} %, nine of ten "
        f"within {100 * errors.quantile(0.9):.1f} %; furthest off, by {100 * errors.max():.0f} %, is a candidate of "
        f"{worst['algorithm']} for {worst['layer']}."
    )
