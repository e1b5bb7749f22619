"""What a stream of frames comes to."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from explorer.terminal.json_output import plain
from microbench.board import Kind
from microbench.streams import StreamRun

STREAM_FILE = "stream.json"
PERCENTILES = (50, 95, 99, 100)


@dataclass(frozen=True)
class StreamSummary:
    """`asked_fps`: at which frames came, None: one after another. `fps`: that ended in a second between the first's
    arrival and the last's end; `direct_fps`: of runs without the queue, None where there were none. Latencies are from
    arrival to end, by percentile. `cpu_share`: cores that were busy meanwhile; `beside_share`: while QPUs worked, None
    where that is not known; `called_share`: of the frames' own time, what the CPU worked for. `computed`: frames that
    were really computed, the others have their times. `batch`: frames that a run takes together.
    """

    board: str
    kind: Kind
    asked_fps: float | None
    capacity: int
    deadline_s: float | None
    frames: int
    ended: int
    dropped: int
    late: int
    computed: int
    fps: float
    direct_fps: float | None
    latencies_s: dict[str, float]
    cpu_share: float
    beside_share: float | None
    called_share: float
    batch: int


def summary_of(run: StreamRun, board: str) -> StreamSummary:
    """The stream of a board, called so; at least one frame was run."""
    request, frames = run.request, run.frames
    latencies_s = sorted(frame.latency_s for frame in frames)
    called_s = sum(frame.called_s for frame in frames)
    launched_s = sum(frame.launched_s for frame in frames)
    return StreamSummary(
        board=board,
        kind=run.kind,
        asked_fps=request.fps,
        capacity=request.capacity,
        deadline_s=request.deadline_s,
        frames=request.frames,
        ended=len(frames),
        dropped=run.dropped,
        late=sum(frame.is_late for frame in frames),
        computed=run.computed,
        fps=len(frames) / run.elapsed_s,
        direct_fps=len(frames) / run.direct_s if run.direct_s else None,
        latencies_s={f"p{percent}": _percentile(latencies_s, percent) for percent in PERCENTILES},
        cpu_share=run.cpu_s / run.elapsed_s,
        beside_share=None if run.beside_s is None else run.beside_s / launched_s,
        called_share=called_s / (called_s + launched_s),
        batch=request.batch,
    )


def write_summary(summary: StreamSummary, directory: Path) -> Path:
    """stream.json in a run's directory; raises OSError where it cannot be written."""
    place = directory / STREAM_FILE
    place.write_text(json.dumps(plain(summary), indent=2, allow_nan=False) + "\n", encoding="utf-8")
    return place


def _percentile(values: Sequence[float], percent: int) -> float:
    """The nearest rank: the least of the sorted values that so many percent do not exceed."""
    return values[math.ceil(percent / 100 * len(values)) - 1]
