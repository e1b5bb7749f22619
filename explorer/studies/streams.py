"""Streams of frames on boards: throughput beside runs without the queue, what a hand-over takes, the CPU's share."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from codegen.bundle import compile_bundle
from codegen.engine_registry import engines, host_engines
from explorer.plans.modelled_plan import modelled_plan
from explorer.plans.network import Network
from explorer.stream.summary import StreamSummary, summary_of
from explorer.studies.study_table import LEFT, RIGHT, StudyTable
from explorer.terminal.units import seconds
from microbench.board import Board
from microbench.profile import DeviceProfile
from microbench.streams import StreamRequest, stream_on
from microbench.virtual.bundle import virtual_platform

CAMERA_FPS = 30.0


@dataclass(frozen=True)
class Streamed:
    """A network's stream: what it came to, and of a board with a clock the seconds from a frame's end to the start of
    the next one that waited, median and 99th percentile.
    """

    network: str
    summary: StreamSummary
    handovers_s: tuple[float, float] | None


def compiled_for(network: Network, profile: DeviceProfile, directory: Path) -> Path:
    """A bundle of the modelled plan: on the QPUs whatever they can compute where the board has them.

    Raises as `modelled_plan` and `compile_bundle`.
    """
    target = profile.target()
    launching = [name for name, engine in engines().items() if engine.launches and engine.is_on(target)]
    plan = (
        modelled_plan(network, profile, engines=(*host_engines(), *launching), preferred=launching[0])
        if launching
        else modelled_plan(network, profile)
    )
    compile_bundle(network.graph, plan, target, directory, virtual_platform(profile, plan))
    return directory


def stream_network(board: Board, network: str, bundle: Path, request: StreamRequest) -> Streamed:
    """Raises as `stream_on`."""
    run = stream_on(board, bundle, request)
    waiting = ((frame, after) for frame, after in pairwise(run.frames) if after.due_s < frame.ended_s)
    gaps_s = sorted(after.started_s - frame.ended_s for frame, after in waiting)
    known = board.reads_clock and request.fps is None and gaps_s
    handovers_s = (statistics.median(gaps_s), gaps_s[-(-99 * len(gaps_s) // 100) - 1]) if known else None
    return Streamed(network, summary_of(run, board.fingerprint().board), handovers_s)


def throughput_table(found: list[Streamed], alone_s: dict[str, float]) -> StudyTable:
    """Frames one after another; `alone_s`: seconds of one run without a queue, of boards without a clock."""
    rows = []
    for one in found:
        summary = one.summary
        direct_fps = summary.direct_fps or 1.0 / alone_s[one.network]
        rows.append(
            (
                one.network,
                summary.board,
                summary.kind,
                f"{summary.frames}",
                f"{summary.frames - summary.ended}",
                f"{summary.computed}",
                f"{summary.fps:.2f}",
                f"{direct_fps:.2f}",
                f"{summary.fps / direct_fps:.3f}",
                " / ".join(map(seconds, one.handovers_s)) if one.handovers_s else "-",
                f"{summary.cpu_share:.2%}",
            )
        )
    columns = (
        ("network", LEFT),
        ("board", LEFT),
        ("kind", LEFT),
        ("frames", RIGHT),
        ("lost", RIGHT),
        ("computed", RIGHT),
        ("a second", RIGHT),
        ("without the queue", RIGHT),
        ("ratio", RIGHT),
        ("hand-over, median / 99 %", RIGHT),
        ("CPU", RIGHT),
    )
    notes = (
        "Frames one after another, the queue never empty; every computed frame's outputs are compared, byte for byte, "
        "with those of a run alone. On a board with a clock runs without the queue took turns with the frames, 50 and "
        "50, and CPU is the process's time on all cores. On the virtual board launches are simulated, steps on the CPU "
        "modelled by the profile, a hand-over takes no time, and CPU is what the CPU is busy for with its steps and "
        "with launching.",
    )
    return StudyTable("Throughput", columns, tuple(rows), notes)


def camera_table(found: list[Streamed]) -> StudyTable:
    """Frames of a camera."""
    rows = tuple(
        (
            one.network,
            one.summary.board,
            one.summary.kind,
            f"{one.summary.asked_fps:g}",
            f"{one.summary.frames}",
            f"{one.summary.dropped}",
            f"{one.summary.late}",
            *(seconds(one.summary.latencies_s[name]) for name in ("p50", "p95", "p99", "p100")),
            f"{one.summary.cpu_share:.1%}",
        )
        for one in found
    )
    columns = (
        ("network", LEFT),
        ("board", LEFT),
        ("kind", LEFT),
        ("asked a second", RIGHT),
        ("frames", RIGHT),
        ("dropped", RIGHT),
        ("late", RIGHT),
        ("latency: median", RIGHT),
        ("95 %", RIGHT),
        ("99 %", RIGHT),
        ("most", RIGHT),
        ("CPU", RIGHT),
    )
    notes = (
        "A frame that finds the queue full is dropped; room for two, the one that runs included. Late: it ended more "
        "than two frames' time after it came.",
    )
    return StudyTable("Frames of a camera", columns, rows, notes)


def camera_request(fps: float, frames: int) -> StreamRequest:
    """So many frames a second, late after two frames' time."""
    return StreamRequest(fps, frames=frames, deadline_s=2.0 / fps)
