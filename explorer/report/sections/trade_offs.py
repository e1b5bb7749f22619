"""What can be traded for what: the plans of a front, or else the candidates of the longest layers."""

from __future__ import annotations

from collections.abc import Sequence

from explorer.report.section import Part
from explorer.report.sections import candidates, front
from explorer.runs.data import RunData


class TradeOffs:
    """Latency against memory, CPU time and energy where there is a front; time against memory traffic otherwise."""

    name = "trade_offs"
    title = "Trade-offs"
    place = 20
    needs = "front.csv, or samples.csv"

    def applies(self, run: RunData) -> bool:
        return run.front is not None or bool(candidates.longest_layers(run))

    def parts(self, run: RunData) -> Sequence[Part]:
        shown: list[Part] = []
        if run.front is not None:
            shown += [front.front_figure, front.front_table]
        if candidates.longest_layers(run):
            text = (
                "Candidates that worked, of the layers that take most of the time. Each point is one measured "
                "candidate, alone; bytes moved are counted from shapes, re-reads included. A ring marks the "
                "candidate in the plan, the grey line those that no other beats in both time and bytes. What takes "
                f"more than {candidates.SLOWEST:g} times as long as the fastest is only counted in the table."
            )
            shown += [text, candidates.candidates_figure, candidates.candidates_table]
        return shown
