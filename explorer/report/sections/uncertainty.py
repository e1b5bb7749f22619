"""What the plan takes where constants of the board are others than assumed."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from explorer.report.exhibits import Exhibit
from explorer.report.section import Part
from explorer.runs.data import RunData


class Uncertainty:
    """The plan under each profile that it was chosen for."""

    name = "uncertainty"
    title = "Where constants are not certain"
    place = 25
    needs = "a run with --robust"

    def applies(self, run: RunData) -> bool:
        return run.report is not None and run.report.regret is not None

    def parts(self, run: RunData) -> Sequence[Part]:
        return (times_under,)


def times_under(run: RunData) -> Exhibit:
    """A row per profile: the plan's time as composed, that of the best plan there, and their ratio."""
    regret = run.report.regret if run.report else None
    assert regret is not None
    table = pd.DataFrame(
        {
            "profile": [one.name for one in regret.under],
            "this plan, ms (simulated)": [1e3 * one.time_s for one in regret.under],
            "best plan there, ms (simulated)": [1e3 * one.best_s for one in regret.under],
            "this / best": [one.ratio for one in regret.under],
        }
    )
    return Exhibit(
        table,
        f"The plan is the one with the smallest largest ratio of {regret.compositions} that were composed from "
        f"{regret.retimed:,} candidates timed under every profile: {regret.worst:.4f}. No plan of these candidates is "
        f"below {regret.bound:.4f}; the fastest under the run's own profile has {regret.own_best:.4f}.",
        "The plan under each profile",
    )
