"""The runs of a directory as a table."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from explorer.runs.data import RunData
from explorer.runs.noise import CLOCKLESS
from explorer.terminal.sheet import Sheet
from explorer.terminal.units import seconds

UNKNOWN = "-"


HEADINGS = (
    "run", "model", "device", "board", "time", "time is", "noise\nfloor", "CPU-only\n/ this",
    "largest error\n(of the largest output)", "note",
)  # fmt: skip


def runs_sheet(runs: Sequence[tuple[Path, RunData | str]]) -> Sheet:
    """One row per run; a damaged one has what is wrong with it in place of its numbers."""
    rows = [(place.resolve().name, *_row(run)) for place, run in runs]
    spare = ("board", HEADINGS[6], "model", HEADINGS[7], "device", HEADINGS[8])
    return Sheet("", HEADINGS, rows, right=("time", *HEADINGS[6:9]), spare=spare)


def runs_json(runs: Sequence[tuple[Path, RunData | str]]) -> list[dict[str, object]]:
    """The same as data; of a damaged run its place and a note."""
    return [{"run": str(place), **_json(run)} for place, run in runs]


def _json(run: RunData | str) -> dict[str, object]:
    if isinstance(run, str):
        return {"note": run}
    check = run.report.check if run.report else None
    return {
        "model": run.plan.model_name,
        "device": run.plan.device,
        "board": run.board,
        "time_s": run.time_s,
        "kinds": run.kinds,
        "noise_floor": run.report.noise_floor if run.report else None,
        "speedup": run.speedup,
        "largest_error": check.largest_error if check else None,
        "note": _error(run)[1],
    }


def _row(run: RunData | str) -> Sequence[str]:
    if isinstance(run, str):
        return (*[UNKNOWN] * 8, run)
    return (
        run.plan.model_name,
        run.plan.device,
        run.board or UNKNOWN,
        seconds(run.time_s),
        " + ".join(run.kinds),
        _noise(run),
        UNKNOWN if run.speedup is None else f"{run.speedup:.3g}x",
        *_error(run),
    )


def _noise(run: RunData) -> str:
    """In a cell; the run's report says what it is the spread of."""
    if CLOCKLESS.issuperset(run.kinds):
        return "no clock"
    floor = run.report.noise_floor if run.report else None
    return "unknown" if floor is None else f"±{100 * floor:.1f} %"


def _error(run: RunData) -> tuple[str, str]:
    """The error and a note on it."""
    if run.report is None:
        return UNKNOWN, "a plan only"
    check = run.report.check
    if check is None:
        return UNKNOWN, "not checked"
    notes = []
    if not check.largest_error <= check.tolerance:
        notes.append(f"WRONG: allowed {check.tolerance:g}")
    if not check.same_top5:
        notes.append("another top 5")
    return f"{check.largest_error:.2e}", "; ".join(notes)
