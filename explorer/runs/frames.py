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
# Of the table of steps, with what they say. NaN where nothing is known.
STEP_COLUMNS = {
    "layer": "name of the step in the plan",
    "operator": "class of the operator",
    "summary": "the layer in a line: operator and shapes (NCHW)",
    "spec_hash": "hash of the layer: equal layers share samples",
    "engine": "that computes it: cpu, videocore4 or a plug-in's",
    "algorithm": "as `explore algorithms` lists it",
    "split": "how processing elements share the layer, as name=value",
    "tile": "sizes of tiles, as name=value",
    "layouts": "layouts in memory, of the inputs > of the output",
    "time_s": "seconds within the whole network where the bundle was run, else as expected",
    "kind": "what that time is: silicon, host, simulated or modelled; - for a step that takes none",
    "share": "of the network's time, 0 to 1",
    "expected_s": "seconds, as measured alone or in rehearsals",
    "expected_kind": "what that time is",
    "predicted_s": "seconds, by the model without having seen the layer",
    "predicted_low_s": "seconds: lower end of the prediction's interval",
    "predicted_high_s": "seconds: upper end of the prediction's interval",
    "cpu_only_s": "seconds of the same layer in the best plan without QPUs",
    "candidate": "hash of layer and choice",
}


def steps_frame(run: RunData) -> pd.DataFrame:
    """One row per step, in the order they run, columns as `STEP_COLUMNS`."""
    import pandas as pd

    reports = run.report.steps if run.report else (None,) * len(run.plan.steps)
    rows = [_row(step, report, run.time_s) for step, report in zip(run.plan.steps, reports, strict=True)]
    return pd.DataFrame(rows, columns=list(STEP_COLUMNS)).astype(dict.fromkeys(_NUMBERS, float))


def timed_candidates(run: RunData) -> pd.DataFrame:
    """Working samples of a clock or a simulator that have a prediction; empty where there are none."""
    import pandas as pd

    if run.samples is None:
        return pd.DataFrame(columns=["algorithm", "kind", "time_s", "predicted_s", "layer"])
    samples = run.samples
    timed = (samples["status"] == "ok") & (samples["kind"] != "modelled") & (samples["time_s"] > 0)
    return samples[timed & samples["predicted_s"].notna()]


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
        "engine": choice.engine,
        "algorithm": choice.algorithm,
        "split": _axes(choice.split),
        "tile": _axes(choice.tile),
        "layouts": f"{', '.join(choice.input_layouts)} > {', '.join(choice.output_layouts)}",
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
