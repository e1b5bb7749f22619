"""A front as a table."""

from __future__ import annotations

from explorer.front.front import Front, FrontPlan
from explorer.front.search import Knobs
from explorer.objectives.objective import LATENCY, Objective
from explorer.terminal.sheet import Sheet
from explorer.terminal.units import joules, seconds

KIB = 1024
TEXT_COLUMNS = ("plan", "times are", "knobs")


def front_sheet(front: Front) -> Sheet:
    """One row per plan of the front, the fastest first."""
    compared = [objective for objective in front.objectives if objective.compared]
    names = [objective.title for objective in compared]
    headings = ("plan", *names, "predicted", "times are", "error", "launches", "knobs")
    rows = [
        (
            plan.name,
            *(value_text(objective, plan.objectives[objective.column]) for objective in compared),
            seconds(plan.predicted[LATENCY.column]),
            _kinds(plan),
            f"{plan.largest_error:.1e}",
            str(plan.launches),
            knobs_text(plan.knobs),
        )
        for plan in front.plans
    ]
    title = f"front of {', '.join(names[:-1])} and {names[-1]}"
    right = [heading for heading in headings if heading not in TEXT_COLUMNS]
    return Sheet(title, headings, rows, right=right, spare=("knobs", "launches", "error", "predicted"))


def front_lines(front: Front, noise: str) -> tuple[str, str]:
    """How many plans are beaten, and the noise floor."""
    return (
        f"{len(front.beaten)} more were run and are beaten by one of these; {front.not_run} more were not run, "
        "being close to one that was",
        f"noise floor: {noise}",
    )


def value_text(objective: Objective, value: float) -> str:
    """A value with its unit."""
    if objective.unit == "s":
        return seconds(value)
    if objective.unit == "J":
        return joules(value)
    return f"{value / KIB:,.0f} KiB"


def knobs_text(knobs: Knobs) -> str:
    """The knobs in a few words."""
    cap = "no cap" if knobs.cap_bytes is None else f"at most {knobs.cap_bytes / KIB:,.0f} KiB"
    prices = [f"{name} x {price:.2g}" for name, price in knobs.prices if price]
    return ", ".join((cap, f"{knobs.qpus} QPUs", f"{knobs.cores_free} cores free", *prices))


def _kinds(plan: FrontPlan) -> str:
    return f"{plan.kind}, energy {plan.energy_kind}" if plan.energy_kind else plan.kind
