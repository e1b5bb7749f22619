"""What can be traded for what: the plans of a front, or else the candidates of the longest layers."""

from __future__ import annotations

from collections.abc import Sequence

from explorer.report.section import Cell, code, prose
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

    def cells(self, run: RunData) -> Sequence[Cell]:
        shown: list[Cell] = []
        if run.front is not None:
            shown += code(front.__name__, "front_figure(run)", "front_table(run)")
        if candidates.longest_layers(run):
            text = (
                "Candidates that worked, of the layers that take most of the time. Each point is one measured "
                "candidate, alone; bytes moved are counted from shapes, re-reads included. A ring marks the "
                "candidate in the plan, the grey line those that no other beats in both time and bytes. What takes "
                f"more than {candidates.SLOWEST:g} times as long as the fastest is only counted in the table."
            )
            shown += [
                prose(text),
                *code(candidates.__name__, "candidates_figure(run)", "candidates_table(run)"),
            ]
        return shown
