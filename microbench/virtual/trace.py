"""A launch's trace: who waited for what and which engine worked when, in the format that Perfetto opens."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, overload

from numpy.typing import NDArray

from microbench.errors import BoardError
from microbench.virtual.structures import TRACK_TMU, TRACK_VDR, TRACK_VDW, WHAT_BUSY, WHAT_RUN

_AFTER_NUMBERS = 1 << 16
_QPUS, _ENGINES = 1, 2  # process numbers: the two groups of tracks


@dataclass(frozen=True)
class Interval:
    """Cycles [start, end) of one track: a stall (`what` its cause), a QPU's whole run, or an engine at work.

    `bus`: of the waiting instruction; of memory where a DMA begins; 0 for TMUs.
    """

    track: str
    what: str
    start: int
    end: int
    bus: int


class Intervals(Sequence[Interval]):
    """Of a launch, as the simulator keeps them: `columns` has the fields of v3d_interval, `causes` name its stalls."""

    def __init__(self, columns: NDArray[Any], causes: Sequence[str], tmus_per_slice: int) -> None:
        self.columns, self.causes = columns, tuple(causes)
        self._tmus_per_slice = tmus_per_slice

    def __len__(self) -> int:
        return len(self.columns)

    @overload
    def __getitem__(self, index: int) -> Interval: ...

    @overload
    def __getitem__(self, index: slice) -> Intervals: ...

    def __getitem__(self, index: int | slice) -> Interval | Intervals:
        if isinstance(index, slice):
            return Intervals(self.columns[index], self.causes, self._tmus_per_slice)
        start, end, bus, track, what = self.columns[index].item()
        return Interval(
            track_name(track, self._tmus_per_slice), what_name(what, self.causes), start, end, bus
        )


@dataclass(frozen=True)
class Trace:
    """The intervals of a launch, in no order; `dropped` more did not fit into what was asked for."""

    clock_hz: float
    intervals: Intervals
    dropped: int

    def write(self, path: Path) -> None:
        """Writes Chrome's trace-event JSON; raises BoardError where the file cannot be written."""
        document = {
            "traceEvents": list(self._events()),
            "displayTimeUnit": "ns",
            "otherData": {"clock_hz": self.clock_hz, "dropped_intervals": self.dropped},
        }
        try:
            path.write_text(json.dumps(document, separators=(",", ":")), encoding="utf-8")
        except OSError as error:
            raise BoardError(f"cannot write the trace {path}: {error.strerror or error}") from error

    def _events(self) -> Iterator[dict[str, Any]]:
        tracks = sorted({interval.track for interval in self.intervals}, key=_track_order)
        numbers = {track: number for number, track in enumerate(tracks, start=1)}
        for pid, name in ((_QPUS, "QPUs"), (_ENGINES, "engines")):
            yield {"ph": "M", "name": "process_name", "pid": pid, "tid": 0, "args": {"name": name}}
        for track, number in numbers.items():
            yield {
                "ph": "M", "name": "thread_name", "pid": _process(track), "tid": number, "args": {"name": track}
            }  # fmt: skip
        # An enclosing interval comes before what it encloses.
        for i in sorted(self.intervals, key=lambda i: (i.start, -i.end)):
            yield {
                "ph": "X",
                "name": i.what,
                "cat": "stall" if _is_stall(i) else "run",
                "pid": _process(i.track),
                "tid": numbers[i.track],
                "ts": 1e6 * i.start / self.clock_hz,
                "dur": 1e6 * (i.end - i.start) / self.clock_hz,
                "args": {"cycle": i.start, "cycles": i.end - i.start, "bus": f"{i.bus:#010x}"},
            }


def _is_stall(interval: Interval) -> bool:
    return interval.what not in ("program", "busy")


def _process(track: str) -> int:
    return _QPUS if track.startswith("QPU") else _ENGINES


def _track_order(track: str) -> tuple[int, int, str]:
    """QPUs by number, TMUs by number, then the DMA engines."""
    words = track.split()
    return _process(track), int(words[1]) if words[1].isdigit() else _AFTER_NUMBERS, track


def track_name(track: int, tmus_per_slice: int) -> str:
    """What a track of v3d_interval is called: QPUs by number, TMUs by their number over all slices."""
    if track < TRACK_VDR:
        return f"QPU {track}"
    if track < TRACK_TMU:
        return {TRACK_VDR: "VDR (DMA load)", TRACK_VDW: "VDW (DMA store)"}[track]
    number = track - TRACK_TMU
    return f"TMU {number} of slice {number // tmus_per_slice}"


def what_name(what: int, causes: Sequence[str]) -> str:
    """The name of an interval's kind: a stall's cause, `program` or `busy`."""
    return {WHAT_RUN: "program", WHAT_BUSY: "busy"}.get(what) or f"wait: {causes[what]}"
