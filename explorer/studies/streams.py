"""Streams of frames on boards: throughput beside runs without the queue, what a hand-over takes, the CPU's share."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
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
CPU_COLUMNS = (("CPU, of all time", RIGHT), ("while QPUs work", RIGHT))


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
    known = board.reads_clock and request.fps is None and request.batch == 1 and gaps_s
    handovers_s = (statistics.median(gaps_s), gaps_s[-(-99 * len(gaps_s) // 100) - 1]) if known else None
    return Streamed(network, summary_of(run, board.fingerprint().board), handovers_s)


def throughput_table(found: list[Streamed], alone_s: Mapping[tuple[str, int], float]) -> StudyTable:
    """Frames one after another; `alone_s`: seconds a frame of a run without a queue, by network and batch, of boards
    without a clock.
    """
    rows = []
    for one in found:
        summary = one.summary
        direct_fps = summary.direct_fps or 1.0 / alone_s[one.network, summary.batch]
        rows.append(
            (
                one.network,
                summary.board,
                summary.kind,
                f"{summary.batch}",
                f"{summary.frames}",
                f"{summary.frames - summary.ended}",
                f"{summary.computed}",
                f"{summary.fps:.2f}",
                f"{direct_fps:.2f}",
                f"{summary.fps / direct_fps:.3f}",
                " / ".join(map(seconds, one.handovers_s)) if one.handovers_s else "-",
                f"{summary.cpu_share:.2%}",
                _beside(summary, 2),
            )
        )
    columns = (
        ("network", LEFT),
        ("board", LEFT),
        ("kind", LEFT),
        ("a run", RIGHT),
        ("frames", RIGHT),
        ("lost", RIGHT),
        ("computed", RIGHT),
        ("a second", RIGHT),
        ("without the queue", RIGHT),
        ("ratio", RIGHT),
        ("hand-over, median / 99 %", RIGHT),
        *CPU_COLUMNS,
    )
    notes = (
        "Frames one after another, the queue never empty; every computed frame's outputs are compared, byte for byte, "
        "with those of a run alone. A run: frames that one run takes together, by one launch. On a board with a clock "
        "runs without the queue took turns with the frames, 50 and 50. On the virtual board launches are simulated, "
        "steps on the CPU modelled by the profile, and a hand-over takes no time.",
        "CPU, of all time: what `top` would show of one core, and what other programs have less of. On a board with a "
        "clock it is the process's time on all cores; on the virtual board the steps on the CPU, where a plan has any, "
        "and launching, for all of whose time the CPU is taken to be busy. While QPUs work: of the launches' time, "
        "what the CPU is busy for after it has launched. On the virtual board that is nothing, for a process sleeps in "
        "the driver's call until the QPUs have ended, and while it launches or has steps of its own, they stand still. "
        "In neither is the copy of inputs to the GPU's memory and of outputs from it, which has no model.",
    )
    return StudyTable("Throughput", columns, tuple(rows), notes)


def camera_table(found: list[Streamed]) -> StudyTable:
    """Frames of a camera."""
    rows = tuple(
        (
            one.network,
            one.summary.board,
            one.summary.kind,
            f"{one.summary.batch}",
            f"{one.summary.asked_fps:g}",
            f"{one.summary.frames}",
            f"{one.summary.dropped}",
            f"{one.summary.late}",
            *(seconds(one.summary.latencies_s[name]) for name in ("p50", "p95", "p99", "p100")),
            f"{one.summary.cpu_share:.1%}",
            _beside(one.summary, 1),
        )
        for one in found
    )
    columns = (
        ("network", LEFT),
        ("board", LEFT),
        ("kind", LEFT),
        ("a run", RIGHT),
        ("asked a second", RIGHT),
        ("frames", RIGHT),
        ("dropped", RIGHT),
        ("late", RIGHT),
        ("latency: median", RIGHT),
        ("95 %", RIGHT),
        ("99 %", RIGHT),
        ("most", RIGHT),
        *CPU_COLUMNS,
    )
    notes = (
        "A frame that finds the queue full is dropped; room for two runs, the one that goes on included. Late: it "
        "ended more than two frames' time after it came, or two runs' time where frames are run together: the first "
        "of a run then waits for the last.",
    )
    return StudyTable("Frames of a camera", columns, rows, notes)


def _beside(summary: StreamSummary, digits: int) -> str:
    return "-" if summary.beside_share is None else f"{summary.beside_share:.{digits}%}"


def camera_request(fps: float, frames: int, batch: int = 1) -> StreamRequest:
    """So many frames a second, late after two frames' time, or two batches'."""
    return StreamRequest(fps, frames=frames, deadline_s=2.0 * batch / fps, batch=batch)
