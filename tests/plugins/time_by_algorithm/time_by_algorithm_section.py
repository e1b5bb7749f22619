"""A section of reports: how the time is shared by algorithms."""

from __future__ import annotations

from collections.abc import Sequence

from explorer.report.exhibits import Exhibit
from explorer.report.section import Part
from explorer.runs.data import RunData
from explorer.runs.frames import steps_frame


class TimeByAlgorithm:
    """One table, behind the built-in sections that speak of layers."""

    name = "time_by_algorithm"
    title = "Time by algorithm"
    place = 35
    needs = "plan.json"

    def applies(self, run: RunData) -> bool:
        return True

    def parts(self, run: RunData) -> Sequence[Part]:
        return (algorithms_table,)


def algorithms_table(run: RunData) -> Exhibit:
    """One row per algorithm and kind of time, the longest first."""
    steps = steps_frame(run)
    shares = steps.groupby(["algorithm", "kind"], as_index=False)[["time_s", "share"]].sum()
    shares = shares.sort_values("time_s", ascending=False)
    table = shares.assign(**{"time, ms": 1e3 * shares["time_s"], "share, %": 100 * shares["share"]})
    columns = table[["algorithm", "time, ms", "kind", "share, %"]]
    return Exhibit(columns, label="Time by algorithm and kind", bars=("share, %",))
