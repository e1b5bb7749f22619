"""Times of a network's layers as tables: layer by layer, and summed over kinds of layers."""

from __future__ import annotations

from collections.abc import Sequence

from explorer.runs.tables import axes
from explorer.studies.layer_times import NetworkTimes, StepTime, kind_of
from explorer.studies.study_table import StudyTable
from explorer.terminal.units import seconds

_NUMBERS = (
    ("time", "right"),
    ("share", "right"),
    ("GFLOP/s", "right"),
    ("of peak", "right"),
    ("MB, least", "right"),
    ("MB, streamed", "right"),
    ("GB/s", "right"),
)
_LAYERS = (
    ("layer", "left"),
    ("computes", "left"),
    ("algorithm", "left"),
    ("tile", "left"),
    ("threads", "right"),
    *_NUMBERS,
)
_KINDS = (("kind", "left"), ("layers", "right"), *_NUMBERS)


def layer_table(times: NetworkTimes) -> StudyTable:
    """One row per step that takes time, and their sum."""
    timed = [step for step in times.steps if step.time_s]
    rows = [
        (
            step.step.name,
            step.step.spec.describe(),
            step.step.choice.algorithm,
            axes(step.step.choice.tile),
            str(step.step.choice.threads),
            *_numbers(times, [step]),
        )
        for step in timed
    ]
    rows.append(("all", "", "", "", "", *_numbers(times, timed)))
    notes = (
        f"The network as a whole: {seconds(times.time_s)}, median of {times.runs} runs (kind: host). Peak of one "
        f"core, measured between them: {times.peak_per_core / 1e9:.0f} GFLOP/s.",
    )
    return StudyTable(f"{times.plan.model_name}: layers", _LAYERS, tuple(rows), notes)


def kind_table(times: NetworkTimes) -> StudyTable:
    """One row per kind of layer, the one with the most time first."""
    groups: dict[str, list[StepTime]] = {}
    for step in times.steps:
        if step.time_s:
            groups.setdefault(kind_of(step.step), []).append(step)
    ordered = sorted(groups.items(), key=lambda item: -sum(step.time_s for step in item[1]))
    rows = tuple((kind, str(len(steps)), *_numbers(times, steps)) for kind, steps in ordered)
    return StudyTable(f"{times.plan.model_name}: kinds of layers", _KINDS, rows)


def _numbers(times: NetworkTimes, steps: Sequence[StepTime]) -> tuple[str, ...]:
    time_s = sum(step.time_s for step in steps)
    total_s = sum(step.time_s for step in times.steps)
    operations = sum(step.operations for step in steps)
    least, streamed = (sum(step.least_bytes for step in steps), sum(step.streamed_bytes for step in steps))
    computes = operations > 0
    return (
        seconds(time_s),
        f"{100 * time_s / total_s:.1f} %",
        f"{operations / time_s / 1e9:.1f}" if computes else "-",
        f"{100 * times.share_of_peak(steps):.0f} %" if computes else "-",
        f"{least / 1e6:.2f}",
        f"{streamed / 1e6:.2f}",
        f"{streamed / time_s / 1e9:.1f}",
    )
