"""How well the cost model predicts: candidates it has not seen, and the network as a whole."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from cost_models.metrics import mape, spearman
from explorer.report.exhibits import CaptionedFigure, Exhibit, Sentence, counted
from explorer.report.section import Cell, code, prose
from explorer.runs.data import RunData
from explorer.runs.figures import algorithm_colours, new_figure, plain_ticks
from explorer.runs.frames import steps_frame, timed_candidates, where_timed
from explorer.terminal.units import seconds


class PredictedAgainstMeasured:
    """Predictions without having seen the layer, against measurements."""

    name = "predicted_against_measured"
    title = "Predicted against measured"
    place = 40
    needs = "samples.csv or summary.json with times that were not modelled"

    def applies(self, run: RunData) -> bool:
        return len(timed_candidates(run)) > 1 or bool(steps_frame(run)["predicted_s"].notna().any())

    def cells(self, run: RunData) -> Sequence[Cell]:
        text = (
            "Each prediction is made by a model that has seen no candidate of that layer. Modelled times are "
            "left out of the points: they come from a formula, and to predict them would be no feat."
        )
        shown = [prose(text)]
        if len(timed_candidates(run)) > 1:
            shown += code(__name__, "prediction_figure(run)", "errors_by_algorithm(run)")
        if steps_frame(run)["predicted_s"].notna().any():
            shown += code(__name__, "step_predictions(run)", "whole_network(run)")
        return shown


def prediction_figure(run: RunData) -> CaptionedFigure:
    """A point per candidate, measured across and predicted up, and the line where both are equal."""
    points = timed_candidates(run)
    figure, axes = new_figure(7.5, 5.6)
    for name, colour in algorithm_colours(points["algorithm"]).items():
        rows = points[points["algorithm"] == name]
        kinds = " + ".join(sorted(set(rows["kind"])))
        axes.scatter(
            1e3 * rows["time_s"], 1e3 * rows["predicted_s"], s=14, color=colour, label=f"{name} ({kinds})"
        )
    both = 1e3 * pd.concat([points["time_s"], points["predicted_s"]])
    ends = (both.min() / 1.3, both.max() * 1.3)
    axes.plot(ends, ends, color="black", linewidth=0.8)
    axes.set(xscale="log", yscale="log", xlim=ends, ylim=ends)
    plain_ticks(axes.xaxis, axes.yaxis)
    axes.set_xlabel(f"measured, ms ({' + '.join(sorted(set(points['kind'])))})")
    axes.set_ylabel("predicted without having seen it, ms (modelled)")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    return CaptionedFigure(figure, _reading(points))


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
    return Exhibit(table, note)


def step_predictions(run: RunData) -> CaptionedFigure:
    """The steps of the plan: the predicted interval, and the time in the run."""
    steps = steps_frame(run)
    steps = steps[steps["predicted_s"].notna() & (steps["time_s"] > 0)].reset_index(drop=True)
    figure, axes = new_figure(9.5, 0.24 * max(len(steps), 6) + 1.2)
    low, high = steps["predicted_low_s"], steps["predicted_high_s"]
    axes.barh(
        steps.index,
        1e3 * (high - low),
        left=1e3 * low,
        height=0.7,
        color="#9ecae1",
        label="predicted (modelled)",
    )
    kinds = " + ".join(run.kinds)
    axes.plot(
        1e3 * steps["time_s"],
        steps.index,
        "o",
        color="#08306b",
        markersize=4,
        label=f"{where_timed(run)} ({kinds})",
    )
    axes.set_yticks(steps.index, [name[-40:] for name in steps["layer"]], fontsize=8, parse_math=False)
    axes.invert_yaxis()
    axes.margins(y=0.01)
    axes.set_xlim(left=0)
    axes.set_xlabel("ms")
    axes.grid(axis="x", alpha=0.3)
    axes.set_axisbelow(True)
    axes.legend(fontsize=8)
    inside = int(((steps["time_s"] >= low) & (steps["time_s"] <= high)).sum())
    ratios = (steps["time_s"] / steps["predicted_s"]).to_numpy()
    furthest = int(np.abs(np.log(ratios)).argmax())
    name, ratio = steps["layer"].iloc[furthest], ratios[furthest]
    return CaptionedFigure(
        figure,
        f"{inside} of {counted(len(steps), 'step')} take a time {where_timed(run)} that lies within the predicted "
        f"interval; furthest from its prediction is {name}, with {ratio:.3g} times the predicted time.",
    )


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
    return (
        f"Half of {counted(len(points), 'candidate')} are predicted within {100 * errors.median():.1f} %, nine of ten "
        f"within {100 * errors.quantile(0.9):.1f} %; furthest off, by {100 * errors.max():.0f} %, is a candidate of "
        f"{worst['algorithm']} for {worst['layer']}."
    )
