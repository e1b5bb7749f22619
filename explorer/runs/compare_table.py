"""A comparison as a table and a few lines; what is not the same kind of time says so."""

from __future__ import annotations

from collections.abc import Sequence

from codegen.plan import are_of_one_model
from explorer.runs.compare import Comparison, Half, Row
from explorer.runs.data import RunData
from explorer.runs.frames import NO_KIND
from explorer.runs.noise import noise_of_run, verdict
from explorer.runs.tables import common_beginning
from explorer.terminal.sheet import Sheet
from explorer.terminal.units import seconds

ABSENT = "-"


def comparison_sheet(comparison: Comparison) -> Sheet:
    """One row per layer, and the totals; what all names begin with is in the title alone."""
    first, second, totals_s = comparison.first, comparison.second, comparison.totals_s
    where = "in the run" if comparison.in_the_run else "expected"
    begin = common_beginning([row.layer for row in comparison.rows])
    named = f"\nlayers: {begin}..." if begin else ""
    times = (f"A, {where}", f"B, {where}")
    return Sheet(
        f"A: {_side(first)}\nB: {_side(second)}{named}",
        ("layer", "algorithm of A", "algorithm of B", *times, "times are", "B / A", "differ in"),
        [(row.layer[len(begin) :], *_cells(row)) for row in comparison.rows],
        right=(*times, "B / A"),
        spare=("algorithm of A", "algorithm of B", "differ in"),
        long=("layer",),
        footers={
            "layer": "total",
            times[0]: seconds(totals_s[0]),
            times[1]: seconds(totals_s[1]),
            "times are": _kinds(" + ".join(first.kinds), " + ".join(second.kinds)),
            "B / A": f"{comparison.ratio:.3g}",
        },
    )


def comparison_json(comparison: Comparison) -> dict[str, object]:
    """What table and lines say, as data."""
    sides = zip(("first", "second"), (comparison.first, comparison.second), comparison.totals_s, strict=True)
    return {
        **{
            name: {
                "run": str(run.directory),
                "model": run.plan.model_name,
                "device": run.plan.device,
                "time_s": time_s,
                "kinds": run.kinds,
                "peak_activation_bytes": run.plan.peak_activation_bytes,
            }
            for name, run, time_s in sides
        },
        "ratio": comparison.ratio,
        "in_the_run": comparison.in_the_run,
        "layers": comparison.rows,
        "notes": comparison_lines(comparison),
    }


def comparison_lines(comparison: Comparison) -> Sequence[str]:
    """What the table cannot say: which layers' decisions make the difference, and what makes the sides incomparable."""
    first, second = comparison.first, comparison.second
    same = sum(
        row.first is not None and row.second is not None and not row.differs for row in comparison.rows
    )
    lines = [
        f"B takes {comparison.ratio:.3g} times as long as A; "
        f"{same} of {len(comparison.rows)} steps are computed alike",
        f"peak of activations: A {first.plan.peak_activation_bytes / 1024:,.0f} KiB, "
        f"B {second.plan.peak_activation_bytes / 1024:,.0f} KiB",
    ]
    lines += [f"{row.layer}: {_gap(row.gap_s)}, {row.why}" for row in comparison.explaining]
    lines += [f"noise floor of A: {noise_of_run(first)}", f"noise floor of B: {noise_of_run(second)}"]
    floors = [run.report.noise_floor if run.report else None for run in (first, second)]
    told = verdict(comparison.ratio, floors)
    lines += [f"B against A: {told}"] if told else []
    if first.kinds != second.kinds:
        kinds = f"A's times are {' + '.join(first.kinds)}, B's {' + '.join(second.kinds)}"
        lines.append(f"note: {kinds}: a ratio between them is no measurement")
    if not comparison.in_the_run:
        lines.append(
            "note: one of them was not run as a whole: times are those expected of the steps, and their sums"
        )
    if not are_of_one_model(first.plan, second.plan):
        lines.append(f"note: A is of model {first.plan.model_name}, B of another, {second.plan.model_name}")
    return lines


def _side(run: RunData) -> str:
    board = f" ({run.board})" if run.board else ""
    return f"{run.plan.model_name} on {run.plan.device}{board}, {run.directory}"


def _cells(row: Row) -> Sequence[str]:
    first, second = row.first, row.second
    kinds = _kinds(first.kind if first else NO_KIND, second.kind if second else NO_KIND)
    ratio = ABSENT if row.ratio is None else f"{row.ratio:.3g}"
    return (
        *map(_algorithm, (first, second)),
        *map(_time, (first, second)),
        kinds,
        ratio,
        _differ(row),
    )


def _algorithm(half: Half | None) -> str:
    return half.algorithm if half else ABSENT


def _time(half: Half | None) -> str:
    return seconds(half.time_s) if half else ABSENT


def _differ(row: Row) -> str:
    if row.first is None or row.second is None:
        return row.why
    return ", ".join(row.differs) or ABSENT


def _gap(time_s: float) -> str:
    return f"{'-' if time_s < 0 else '+'}{seconds(abs(time_s))}"


def _kinds(first: str, second: str) -> str:
    return first if first == second else f"{first} / {second}"
