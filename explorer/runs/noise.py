"""The noise floor in words: which differences between times mean something, and what says so."""

from __future__ import annotations

from collections.abc import Collection

from explorer.runs.data import RunData
from explorer.runs.report import RunReport
from explorer.terminal.units import seconds
from microbench.protocol import FEWEST_REFERENCES, ReferenceTimes

CLOCKLESS = frozenset({"simulated", "modelled"})
NO_CLOCK = "deterministic, no noise floor"


def noise_text(spread: float | None, reference: ReferenceTimes | None, kinds: Collection[str]) -> str:
    """The floor with the times it is the spread of; where there is none, why. `kinds`: of the run's times."""
    if spread is not None:
        return f"±{100 * spread:.1f} %, {_of(reference)}"
    if CLOCKLESS.issuperset(kinds):
        return f"{' and '.join(sorted(kinds)) or 'nothing timed'}: {NO_CLOCK}"
    timed = reference.timings if reference else 0
    return f"unknown: a reference kernel was timed {timed} times, {FEWEST_REFERENCES} are the fewest that show a spread"


def noise_of_report(report: RunReport) -> str:
    """The floor of a run that was just made."""
    return noise_text(report.noise_floor, report.reference, report.kinds)


def noise_of_run(run: RunData) -> str:
    """The floor of a run's directory."""
    if run.report is None:
        if CLOCKLESS.issuperset(run.kinds):
            return noise_text(None, None, run.kinds)
        return "unknown: a plan only, without its run"
    return noise_of_report(run.report)


def verdict(ratio: float, floors: Collection[float | None]) -> str:
    """What a ratio of two runs' times is worth, given the floor of each (None: times without a clock, no floor)."""
    floor = sum(spread or 0.0 for spread in floors)
    if not any(floors):
        return ""
    where = "within" if abs(ratio - 1) <= floor else "beyond"
    return f"{100 * (ratio - 1):+.1f} % is {where} both noise floors together, ±{100 * floor:.1f} %"


def _of(reference: ReferenceTimes | None) -> str:
    if reference is None:
        return "spread of a reference kernel timed in between"
    return (
        f"half the spread of {reference.timings} timings of a reference kernel, median {seconds(reference.median_s)} "
        f"({reference.kind})"
    )
