"""A run's steps and the layers behind its samples as pandas tables, whatever of the run is there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from codegen.plan import PlanStep
from codegen.schedule import Values
from explorer.runs.data import RunData
from explorer.runs.report import StepReport

if TYPE_CHECKING:
    import pandas as pd

NO_KIND = "-"
STEP_COLUMNS = (
    "layer",
    "operator",
    "summary",
    "spec_hash",
    "processor",
    "algorithm",
    "split",
    "tile",
    "layouts",
    "time_s",
    "kind",
    "share",
    "expected_s",
    "expected_kind",
    "predicted_s",
    "predicted_low_s",
    "predicted_high_s",
    "cpu_only_s",
    "candidate",
)


def steps_frame(run: RunData) -> pd.DataFrame:
    """One row per step, in the order they run, columns as `STEP_COLUMNS`; NaN where nothing is known.

    `time_s` is the step's time within the whole network where the bundle was run, else alone; `kind` says whose
    clock it is, and is "-" for a step that takes no time. `share` is of the network's time.
    """
    import pandas as pd

    reports = run.report.steps if run.report else (None,) * len(run.plan.steps)
    rows = [_row(step, report, run.time_s) for step, report in zip(run.plan.steps, reports, strict=True)]
    return pd.DataFrame(rows, columns=list(STEP_COLUMNS)).astype(dict.fromkeys(_NUMBERS, float))


def was_run(run: RunData) -> bool:
    """Whether the bundle was run as a whole."""
    return bool(run.report and run.report.check)


def where_timed(run: RunData) -> str:
    """What `time_s` of the steps is: their time in the run of the bundle, or what is expected of each."""
    return "in the run" if was_run(run) else "expected"


_NUMBERS = tuple(name for name in STEP_COLUMNS if name.endswith("_s") or name == "share")


def _row(step: PlanStep, report: StepReport | None, total_s: float) -> dict[str, object]:
    choice = step.choice
    expected_s = report.expected_s if report else step.predicted_s
    in_run = report is not None and report.run_s is not None
    time_s = report.run_s if report and report.run_s is not None else expected_s
    kind = report.run_kind if report and in_run else step.kind
    predicted = report.predicted if report else None
    return {
        "layer": step.name,
        "operator": type(step.spec.op).__name__,
        "summary": step.summary,
        "spec_hash": step.spec_hash,
        "processor": choice.processor,
        "algorithm": choice.algorithm,
        "split": _axes(choice.split),
        "tile": _axes(choice.tile),
        "layouts": f"{', '.join(choice.input_layouts)} > {choice.output_layout}",
        "time_s": time_s,
        "kind": kind if expected_s > 0 else NO_KIND,
        "share": time_s / total_s if total_s else 0.0,
        "expected_s": expected_s,
        "expected_kind": step.kind if expected_s > 0 else NO_KIND,
        "predicted_s": predicted.time_s if predicted else None,
        "predicted_low_s": predicted.low_s if predicted else None,
        "predicted_high_s": predicted.high_s if predicted else None,
        "cpu_only_s": report.cpu_only_s if report else None,
        "candidate": step.candidate.hash,
    }


def _axes(values: Values) -> str:
    return " ".join(f"{name}={value}" for name, value in values)
