"""The same search directly and over a link: the same choices, or what the measurements say of those that differ."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from codegen.plan import Plan, PlanStep
from codegen.schedule import Candidate
from explorer.pipeline.run import Run
from explorer.plans.planning import decisions
from explorer.runs.noise import noise_of_report
from explorer.studies.study_table import LEFT, RIGHT, StudyTable
from explorer.terminal.units import seconds
from microbench.protocol import estimate
from microbench.store import Sample, Store

SIDES = ("direct", "over the link")
UNMEASURED = "not measured"


@dataclass(frozen=True)
class Searched:
    """A run with the newest sample of each candidate in its store, by hash."""

    run: Run
    samples: Mapping[str, Sample]


def searched(run: Run, store: str) -> Searched:
    """Takes the samples of a run's own store."""
    with Store.open(store) as opened:
        return Searched(
            run,
            {one.candidate_hash: one for one in opened.samples() if one.role == "candidate" and one.times_s},
        )


def choice_table(direct: Searched, remote: Searched) -> StudyTable:
    """One row for each step that the plans take differently, with both candidates' medians on both sides."""
    plans = direct.run.plan, remote.run.plan
    steps = [{step.name: step for step in plan.steps} for plan in plans]
    names = list(dict.fromkeys(name for side in steps for name in side))
    floor = sum(side.run.report.noise_floor or 0.0 for side in (direct, remote))
    rows: list[tuple[str, ...]] = []
    for name in names:
        one, other = (side.get(name) for side in steps)
        if one is None or other is None:
            rows.append(
                (
                    name,
                    *("no such step" if step is None else _choice(step) for step in (one, other)),
                    *["-"] * 3,
                )
            )
        elif one.choice != other.choice:
            rows.append(_row(one, other, direct, remote, floor))
    same = len(names) - len(rows)
    notes = (
        f"{same} of {len(names)} steps are computed alike; "
        + ("the plans are equal." if plans_equal(*plans) else f"{len(rows)} differ."),
        f"Noise floor, direct: {noise_of_report(direct.run.report)}; "
        f"over the link: {noise_of_report(remote.run.report)}.",
        f"The network: {seconds(direct.run.report.time_s)} directly, {seconds(remote.run.report.time_s)} over the link "
        f"({' + '.join(direct.run.report.kinds)}).",
        "Medians with their 95 % intervals: choice A and choice B, each as measured directly / over the link.",
    )
    columns = (
        ("step", LEFT),
        ("A: direct", LEFT),
        ("B: over the link", LEFT),
        ("A takes", RIGHT),
        ("B takes", RIGHT),
    )
    return StudyTable("The same choices", (*columns, ("their difference", LEFT)), tuple(rows), notes)


def plans_equal(one: Plan, other: Plan) -> bool:
    """Whether they decide alike: equal steps, computed by equal choices, in equal order."""
    return decisions(one) == decisions(other)


def _row(one: PlanStep, other: PlanStep, direct: Searched, remote: Searched, floor: float) -> tuple[str, ...]:
    keys = [Candidate(step.spec, step.choice).hash for step in (one, other)]
    sides = [[side.samples.get(key) for side in (direct, remote)] for key in keys]
    cells = [" / ".join(UNMEASURED if sample is None else _told(sample) for sample in pair) for pair in sides]
    verdicts = [
        _verdict(sides[0][number], sides[1][number], floor)
        for number in range(len(SIDES))
        if sides[0][number] and sides[1][number]
    ]
    verdict = "; ".join(verdicts) or "no side measured both"
    return (one.name, _choice(one), _choice(other), *cells, verdict)


def _verdict(one: Sample | None, other: Sample | None, floor: float) -> str:
    assert one is not None and other is not None
    a, b = estimate(one.times_s), estimate(other.times_s)
    difference = b.time_s / a.time_s - 1 if a.time_s else 0.0
    overlap = a.low_s <= b.high_s and b.low_s <= a.high_s
    word = "within noise" if abs(difference) <= floor or overlap else "beyond noise"
    return f"{100 * difference:+.1f} %, {word}"


def _told(sample: Sample) -> str:
    found = estimate(sample.times_s)
    return f"{seconds(found.time_s)} ({seconds(found.low_s)} to {seconds(found.high_s)})"


def _choice(step: PlanStep) -> str:
    values = " ".join(f"{name}={value}" for name, value in (*step.choice.split, *step.choice.tile))
    return f"{step.choice.algorithm} {values}".strip()
