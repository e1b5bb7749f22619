"""Runs a bundle's program for streams and reads its report (described at the top of the bundle's stream.c)."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from codegen.bundle.frames import QUEUE_FLAGS
from codegen.bundle.manifest import Manifest, bundle_sources, read_manifest
from codegen.engines.cpu.toolchain import KERNEL_FLAGS, compile_executable
from codegen.errors import ToolchainError
from codegen.target import Target
from microbench.board import Kind
from microbench.boards.bundle_bench import BUNDLE_LIMIT_S, REPORT, check_end, data_files
from microbench.boards.execution import Executor
from microbench.errors import BoardError, CandidateError
from microbench.streams import StreamedFrame, StreamRequest, StreamRun

log = logging.getLogger(__name__)
log.addHandler(logging.NullHandler())

PROGRAM = "stream"


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class FrameReport(_Frozen):
    """A frame: when it came; where it was run, what it gave and when it was what, by the monotonic clock."""

    due_s: float
    dropped: bool
    code: int = 0
    submitted_s: float = 0.0
    started_s: float = 0.0
    ended_s: float = 0.0
    awaited_s: float = 0.0
    launched_s: float = 0.0
    late: bool = False


class DirectReport(_Frozen):
    """Runs without the queue."""

    runs: int
    wall_s: float


class StreamReport(_Frozen):
    """The report of a program for streams."""

    format: Literal[1]
    model: str
    platform: str
    gpu_kind: Literal["none", "silicon", "simulated"]
    without_gpu: str | None
    fps: float
    capacity: int
    wrong: int
    wall_s: float
    cpu_s: float
    direct: DirectReport
    frames: tuple[FrameReport, ...]

    @property
    def ran(self) -> tuple[FrameReport, ...]:
        """The frames that were not dropped."""
        return tuple(frame for frame in self.frames if not frame.dropped)


def run_stream(
    executor: Executor,
    executable: Path,
    bundle: Path,
    manifest: Manifest,
    request: StreamRequest,
    limit_s: float,
) -> StreamReport:
    """The report; raises CandidateError where a frame failed or had other outputs than a run alone gives, BoardError
    where the platform could not be opened.
    """
    words = [
        "--bundle",
        ".",
        "--frames",
        str(request.frames),
        "--queue",
        str(request.capacity),
        "--report",
        REPORT,
    ]
    words += ["--fps", repr(request.fps)] if request.fps is not None else []
    words += ["--deadline", repr(1e3 * request.deadline_s)] if request.deadline_s is not None else []
    words += ["--direct"] if request.direct and request.fps is None else []
    finished = executor.execute(executable, words, data_files(bundle, manifest), (REPORT,), limit_s)
    check_end(finished.ended, bundle)
    try:
        report = StreamReport.model_validate_json(finished.outputs.get(REPORT, b""))
    except ValidationError as error:
        raise BoardError(f"bundle {bundle}: its program wrote no valid report: {error}") from error
    if report.without_gpu is not None:
        log.warning("bundle %s: its plan for the CPU ran: %s", bundle, report.without_gpu)
    return report


def time_stream(
    executor: Executor, target: Target, bundle: Path, platform: str, request: StreamRequest, kind: Kind
) -> StreamRun:
    """Builds a bundle for a target and one of its platforms, whose clocks are of one kind, and runs a stream.

    Raises BoardError where it cannot be built, otherwise as `run_stream`.
    """
    manifest = read_manifest(bundle)
    try:
        sources = bundle_sources(bundle, manifest, platform, PROGRAM)
        executable = compile_executable(sources, target, (*KERNEL_FLAGS, *QUEUE_FLAGS))
    except ToolchainError as error:
        raise BoardError(f"bundle {bundle}: {error}") from error
    seconds = request.frames / request.fps if request.fps is not None else 0.0
    report = run_stream(executor, executable, bundle, manifest, request, BUNDLE_LIMIT_S + seconds)
    if not report.ran:
        raise CandidateError(f"bundle {bundle}: every frame was dropped")
    return _run(report, request, kind)


def _run(report: StreamReport, request: StreamRequest, kind: Kind) -> StreamRun:
    return StreamRun(
        request=request,
        kind=kind,
        frames=tuple(
            StreamedFrame(
                frame.due_s,
                frame.started_s,
                frame.ended_s,
                frame.ended_s - frame.started_s - frame.awaited_s,
                frame.launched_s,
                frame.late,
            )
            for frame in report.ran
        ),
        dropped=len(report.frames) - len(report.ran),
        computed=len(report.ran),
        elapsed_s=report.wall_s,
        cpu_s=report.cpu_s,
        direct_s=report.direct.wall_s if report.direct.runs else None,
    )
