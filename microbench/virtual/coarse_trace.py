"""A long launch's trace made coarse: what each QPU did most in each stretch of time, and how busy the engines were.

A launch of a network has millions of intervals, which no viewer opens. It is cut into stretches of equal length;
neighbouring stretches in which a QPU did the same are one slice.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from microbench.errors import BoardError
from microbench.virtual.structures import CAUSES, QPUS, TRACK_TMU, TRACK_VDR, TRACK_VDW, WHAT_BUSY, WHAT_RUN
from microbench.virtual.trace import Intervals

STRETCHES = 2000
ISSUING, ENDED = "issue", "ended"
_LAYERS, _QPUS, _ENGINES = 1, 2, 3  # process numbers
_ENGINE_TRACKS = {"VDR (DMA load)": (TRACK_VDR,), "VDW (DMA store)": (TRACK_VDW,)}


@dataclass(frozen=True)
class Slice:
    """Cycles [start, end) of a track that has one name."""

    name: str
    start: float
    end: float


@dataclass(frozen=True)
class CoarseTrace:
    """Slices of the layers and of each QPU; of each engine the share of its time at work, by stretch of `edges`."""

    clock_hz: float
    edges: NDArray[np.float64]
    layers: Sequence[Slice]
    qpus: Sequence[Sequence[Slice]]
    engines: Mapping[str, NDArray[np.float64]]

    def write(self, path: Path) -> None:
        """Writes Chrome's trace-event JSON; raises BoardError where the file cannot be written."""
        document = {"traceEvents": list(self._events()), "displayTimeUnit": "ns"}
        try:
            path.write_text(json.dumps(document, separators=(",", ":")), encoding="utf-8")
        except OSError as error:
            raise BoardError(f"cannot write the trace {path}: {error.strerror or error}") from error

    def _events(self) -> Iterator[dict[str, Any]]:
        for pid, name in ((_LAYERS, "layers"), (_QPUS, "QPUs"), (_ENGINES, "engines")):
            yield {"ph": "M", "name": "process_name", "pid": pid, "tid": 0, "args": {"name": name}}
        yield from (self._slice(_LAYERS, 1, "layer", one) for one in self.layers)
        for number, slices in enumerate(self.qpus):
            own = {"pid": _QPUS, "tid": number + 1}
            yield {"ph": "M", "name": "thread_name", **own, "args": {"name": f"QPU {number}"}}
            yield from (self._slice(_QPUS, number + 1, "QPU", one) for one in slices)
        for name, busy in self.engines.items():
            for start, share in zip(self.edges, busy, strict=False):
                at = {"pid": _ENGINES, "tid": 0, "ts": self._us(start)}
                yield {"ph": "C", "name": name, **at, "args": {"at work": round(float(share), 3)}}

    def _slice(self, pid: int, tid: int, category: str, one: Slice) -> dict[str, Any]:
        times = {"ts": self._us(one.start), "dur": self._us(one.end - one.start)}
        return {"ph": "X", "name": one.name, "cat": category, "pid": pid, "tid": tid, **times}

    def _us(self, cycles: float) -> float:
        return round(1e6 * float(cycles) / self.clock_hz, 3)


def coarse_trace(
    clock_hz: float, intervals: Intervals, layers: Sequence[Slice], stretches: int = STRETCHES
) -> CoarseTrace:
    """Of a launch that ends with its last layer."""
    columns = intervals.columns
    edges = np.linspace(0.0, layers[-1].end, stretches + 1)
    qpus = [
        _slices(columns[columns["track"] == number], edges, intervals.causes)
        for number in range(QPUS)
        if (columns["track"] == number).any()
    ]
    tmus = sorted(set(columns["track"][columns["track"] >= TRACK_TMU].tolist()))
    tracks = {**_ENGINE_TRACKS, **({"TMUs": tuple(tmus)} if tmus else {})}
    engines = {
        name: np.mean([_taken(columns[_of(columns, track, WHAT_BUSY)], edges) for track in of], axis=0)
        / np.diff(edges)
        for name, of in tracks.items()
    }
    return CoarseTrace(clock_hz, edges, layers, qpus, engines)


def waited(intervals: Intervals, cause: str, edges: NDArray[np.float64]) -> NDArray[np.float64]:
    """Cycles that all QPUs together waited for a cause between each edge, in cycles, and the next."""
    columns, what = intervals.columns, intervals.causes.index(cause)
    total = np.zeros(len(edges) - 1)
    for number in range(QPUS):
        total += _taken(columns[_of(columns, number, what)], edges)
    return total


def _of(columns: NDArray[Any], track: int, what: int) -> NDArray[np.bool_]:
    chosen: NDArray[np.bool_] = (columns["track"] == track) & (columns["what"] == what)
    return chosen


def _taken(own: NDArray[Any], edges: NDArray[np.float64]) -> NDArray[np.float64]:
    """Cycles that intervals, none of which overlap, take between each edge and the next."""
    if not len(own):
        return np.zeros(len(edges) - 1)
    own = own[np.argsort(own["start"], kind="stable")]
    knots = np.stack([own["start"], own["end"]], axis=1).astype(np.float64)
    before = np.cumsum(knots[:, 1] - knots[:, 0])
    sums = np.stack([np.concatenate([[0.0], before[:-1]]), before], axis=1)
    return np.diff(np.interp(edges, knots.reshape(-1), sums.reshape(-1)))


def _slices(own: NDArray[Any], edges: NDArray[np.float64], causes: Sequence[str]) -> list[Slice]:
    """What one QPU did most of each stretch."""
    waits = np.array([_taken(own[own["what"] == what], edges) for what in range(CAUSES)])
    end = float(own["end"][own["what"] == WHAT_RUN].max(initial=0))
    running = np.diff(np.minimum(edges, end))
    spent = np.vstack([running - waits.sum(axis=0), waits, np.diff(edges) - running])
    names = [ISSUING, *(f"wait: {cause}" for cause in causes), ENDED]
    most = spent.argmax(axis=0)
    starts = np.flatnonzero(np.diff(most, prepend=-1))
    ends = [*starts[1:], len(most)]
    return [
        Slice(names[most[s]], float(edges[s]), float(edges[e])) for s, e in zip(starts, ends, strict=True)
    ]
