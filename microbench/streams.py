"""A stream of frames through a bundle's queue: what is asked for, and what came of every frame."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol, runtime_checkable

from codegen.bundle.manifest import read_manifest
from microbench.board import Board, Kind
from microbench.errors import BoardError

MOST_FRAMES, MOST_ROOM = 1_000_000, 64  # of the bundle's program


@dataclass(frozen=True)
class StreamRequest:
    """`fps`: at which frames come, None: one after another, the queue never empty. `capacity`: frames that the queue
    has room for, the one that runs included. `deadline_s`: after which a frame is late, from when it came, None: never.
    `computed`: frames to compute where a time is the same every time, None: as the board likes. `direct`: where there
    is a clock and no `fps`, as many runs without the queue, in turn with the frames. `batch`: frames that one run takes
    together, as soon as the last of them has come; the queue's room is then in such runs, and there are as many
    `frames` as fill the last one.

    Raises ValueError for what is out of range.
    """

    fps: float | None
    frames: int = 300
    capacity: int = 2
    deadline_s: float | None = None
    computed: int | None = None
    direct: bool = False
    batch: int = 1

    def __post_init__(self) -> None:
        if self.fps is not None and not 1e-3 <= self.fps <= 1e5:
            raise ValueError(f"{self.fps:g} frames a second are out of range: 0.001 to 100000")
        if not 1 <= self.frames <= MOST_FRAMES:
            raise ValueError(f"{self.frames} frames are out of range: 1 to {MOST_FRAMES}")
        if not 1 <= self.capacity <= MOST_ROOM:
            raise ValueError(f"a queue for {self.capacity} frames is out of range: 1 to {MOST_ROOM}")
        if self.deadline_s is not None and self.deadline_s <= 0.0:
            raise ValueError(f"a deadline of {self.deadline_s:g} seconds is none")
        if self.computed is not None and self.computed < 1:
            raise ValueError("at least one frame is computed")
        if self.batch < 1 or self.frames % self.batch:
            raise ValueError(f"{self.frames} frames are no multiple of a batch of {self.batch}")

    def of_runs(self) -> StreamRequest:
        """The same with a run for each batch, which comes when its last frame has. A frame's deadline is its own."""
        return replace(
            self,
            fps=None if self.fps is None else self.fps / self.batch,
            frames=self.frames // self.batch,
            deadline_s=None,
            computed=None if self.computed is None else -(-self.computed // self.batch),
            batch=1,
        )


@dataclass(frozen=True)
class StreamedFrame:
    """A frame that was run: points in time in seconds, and how long the CPU and the QPUs worked for it; of a batch, its
    share of the run's.
    """

    due_s: float
    started_s: float
    ended_s: float
    called_s: float
    launched_s: float
    is_late: bool

    @property
    def latency_s(self) -> float:
        """From its arrival to its end."""
        return self.ended_s - self.due_s


@dataclass(frozen=True, eq=False)
class StreamRun:
    """`frames` that were run, in order, and how many were `dropped`; `kind` of their times.

    `computed` frames were really computed; one that failed, or had other outputs than a run alone gives, raises.
    `elapsed_s` from first arrival to last end, `cpu_s` what all cores were busy for meanwhile, `beside_s` of it while
    QPUs worked, None where that is not known. `direct_s`: what as many runs took without the queue, None where there
    were none.
    """

    request: StreamRequest
    kind: Kind
    frames: tuple[StreamedFrame, ...]
    dropped: int
    computed: int
    elapsed_s: float
    cpu_s: float
    direct_s: float | None = None
    beside_s: float | None = None


@runtime_checkable
class StreamingBoard(Protocol):
    """A board that runs frames by way of a bundle's queue."""

    def stream_bundle(self, bundle: Path, request: StreamRequest) -> StreamRun:
        """Builds a bundle's program for streams and runs it; raises as `Board.run_bundle`."""
        ...


def stream_on(board: Board, bundle: Path, request: StreamRequest) -> StreamRun:
    """A stream on any board; raises BoardError for one that has none, and for a bundle that takes another batch than
    the request's, otherwise as its `stream_bundle`.
    """
    if not isinstance(board, StreamingBoard):
        raise BoardError(
            f"the {board.name} board runs no streams: take the virtual board, the host, or one over SSH"
        )
    if request.batch == 1:
        return board.stream_bundle(bundle, request)
    _check_batch(bundle, request.batch)
    return frames_of_runs(board.stream_bundle(bundle, request.of_runs()), request)


def _check_batch(bundle: Path, batch: int) -> None:
    manifest = read_manifest(bundle)
    for tensor in (*manifest.inputs, *manifest.outputs):
        if tensor.shape[:1] != (batch,):
            raise BoardError(
                f"bundle {bundle}: {tensor.name!r} is {tensor.shape}, not {batch} frames one behind the other: "
                f"compile it with --shape NAME={batch},... of every input"
            )


def frames_of_runs(run: StreamRun, request: StreamRequest) -> StreamRun:
    """The stream of a request's frames from that of its runs, of which each took `batch` of them."""
    between_s = 1.0 / request.fps if request.fps is not None else 0.0
    frames = tuple(
        _frame_of_run(one, one.due_s - earlier * between_s, request)
        for one in run.frames
        for earlier in reversed(range(request.batch))
    )
    return replace(
        run,
        request=request,
        frames=frames,
        dropped=run.dropped * request.batch,
        computed=run.computed * request.batch,
        elapsed_s=run.elapsed_s + (request.batch - 1) * between_s,
    )


def _frame_of_run(one: StreamedFrame, due_s: float, request: StreamRequest) -> StreamedFrame:
    return replace(
        one,
        due_s=due_s,
        called_s=one.called_s / request.batch,
        launched_s=one.launched_s / request.batch,
        is_late=request.deadline_s is not None and one.ended_s > due_s + request.deadline_s,
    )
