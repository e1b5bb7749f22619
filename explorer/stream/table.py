"""A stream as a table for people."""

from __future__ import annotations

from explorer.stream.summary import StreamSummary
from explorer.terminal.sheet import Sheet
from explorer.terminal.units import seconds


def stream_sheet(summary: StreamSummary) -> Sheet:
    """A row for each thing that is asked of a stream."""
    came = "one after another" if summary.asked_fps is None else f"at {summary.asked_fps:g} a second"
    rows = [
        ("frames", f"{summary.frames} {came}, room for {summary.capacity}{_together(summary)}"),
        ("ended", f"{summary.ended}, {summary.fps:.4g} a second"),
        *([("without the queue", f"{summary.direct_fps:.4g} a second")] if summary.direct_fps else []),
        ("dropped", f"{summary.dropped} ({summary.dropped / summary.frames:.1%})"),
        *([("late", f"{summary.late}, after {seconds(summary.deadline_s)}")] if summary.deadline_s else []),
        *(
            (f"latency, {_NAMES.get(name, name[1:] + ' %')}", seconds(time_s))
            for name, time_s in summary.latencies_s.items()
        ),
        (
            "CPU",
            f"{summary.cpu_share:.1%} of a core{_beside(summary)}; {summary.called_share:.1%} of a frame's own time",
        ),
        ("times", f"{summary.kind}, on {summary.board}{_computed(summary)}"),
    ]
    return Sheet("stream", ("", "frames as a camera gives them"), rows)


_NAMES = {"p50": "median", "p100": "most"}


def _together(summary: StreamSummary) -> str:
    return f" runs of {summary.batch} together" if summary.batch > 1 else ""


def _beside(summary: StreamSummary) -> str:
    return "" if summary.beside_share is None else f", {summary.beside_share:.1%} while QPUs work"


def _computed(summary: StreamSummary) -> str:
    return f"; {summary.computed} frames computed" if summary.computed < summary.ended else ""
