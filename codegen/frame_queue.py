"""A queue of frames for loaded bundles: inferences in a thread of C while the caller prepares the next input."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from numpy.typing import NDArray

from codegen.bundle.frames import QUEUE_FLAGS, QUEUE_HEADER, QUEUE_SOURCE
from codegen.engines.cpu.toolchain import KERNEL_FLAGS, compile_shared, runtime_source
from codegen.errors import FrameQueueError
from codegen.target import Target
from codegen.tensor import Array

MOST_FRAMES = 1 << 16
THIS_MACHINE = Target(name="this machine", qpus=0, cpu="native", compiler=("", "-O2"), cores=1)


class FrameStruct(ctypes.Structure):
    """`frame_job` of frame_queue.h."""

    _fields_ = (
        ("inputs", ctypes.c_void_p),
        ("outputs", ctypes.c_void_p),
        ("priority", ctypes.c_int),
        ("deadline_s", ctypes.c_double),
    )


class TimesStruct(ctypes.Structure):
    """`frame_times` of frame_queue.h."""

    _fields_ = (
        ("submitted_s", ctypes.c_double),
        ("started_s", ctypes.c_double),
        ("ended_s", ctypes.c_double),
        ("awaited_s", ctypes.c_double),
        ("launched_s", ctypes.c_double),
        ("is_late", ctypes.c_int),
    )


class _CountsStruct(ctypes.Structure):
    _fields_ = tuple((name, ctypes.c_uint64) for name in ("submitted", "refused", "ended", "failed", "late"))


@dataclass(frozen=True)
class FrameCounts:
    """Frames since the queue was made: taken in, refused because it was full, ended, of these failed, of these late."""

    submitted: int
    refused: int
    ended: int
    failed: int
    late: int


@dataclass(frozen=True, eq=False)
class Ticket:
    """A frame in a queue, and the arrays that it lives in until its end is told."""

    number: int
    queue: FrameQueue
    inputs: Mapping[str, Array]
    outputs: Mapping[str, NDArray[Any]]
    kept: tuple[object, ...]
    """The lists of addresses that C reads."""


@dataclass(frozen=True, eq=False)
class Frame:
    """A frame that has ended: outputs by name, and when it was what, by time.monotonic().

    `awaited_s`: how long its run waited for launches on QPUs; `launched_s`: what they took by the platform's clock,
    which is another one on the virtual board. `is_late`: it ended after its deadline.
    """

    outputs: Mapping[str, NDArray[Any]]
    submitted_s: float
    started_s: float
    ended_s: float
    awaited_s: float
    launched_s: float
    is_late: bool

    @property
    def latency_s(self) -> float:
        """From submission to end."""
        return self.ended_s - self.submitted_s

    @property
    def time_s(self) -> float:
        """What its run took: the CPU by this machine's clock, launches by the platform's."""
        return self.ended_s - self.started_s - self.awaited_s + self.launched_s


class FrameQueue:
    """A thread that runs frames of loaded bundles one after another, those of higher priority first.

    A context manager. Bundles that use this machine's GPU share one queue. Closing it runs what is queued to the end.
    """

    def __init__(self, capacity: int) -> None:
        """`capacity`: frames that are submitted and not told the end of.

        Raises ValueError for a capacity out of 1 to 65536, FrameQueueError where no thread can be started,
        ToolchainError where its code cannot be compiled.
        """
        if not 1 <= capacity <= MOST_FRAMES:
            raise ValueError(f"a queue has room for 1 to {MOST_FRAMES} frames, not {capacity}")
        sources = {name: runtime_source(name) for name in (QUEUE_SOURCE, QUEUE_HEADER)}
        self._library = ctypes.CDLL(str(compile_shared(sources, THIS_MACHINE, (*KERNEL_FLAGS, *QUEUE_FLAGS))))
        self._library.frame_queue_new.restype = ctypes.c_void_p
        self.capacity = capacity
        self._queue: int | None = self._library.frame_queue_new(ctypes.c_int(capacity))
        if self._queue is None:
            raise FrameQueueError(
                "a queue of frames: its thread cannot be started; allow this process more of them"
            )

    @property
    def address(self) -> ctypes.c_void_p:
        """The queue in C; raises FrameQueueError where it is closed."""
        if self._queue is None:
            raise FrameQueueError("the queue of frames is closed; make another one")
        return ctypes.c_void_p(self._queue)

    @property
    def is_closed(self) -> bool:
        """Whether `close` was called."""
        return self._queue is None

    def counts(self) -> FrameCounts:
        """Totals so far; raises FrameQueueError where the queue is closed."""
        found = _CountsStruct()
        self._library.frame_queue_count(self.address, ctypes.byref(found))
        return FrameCounts(found.submitted, found.refused, found.ended, found.failed, found.late)

    def close(self) -> None:
        """Runs what is queued to its end and stops the thread; the ends that were not asked for are lost. A second call
        does nothing.
        """
        queue, self._queue = self._queue, None
        if queue is not None:
            self._library.frame_queue_free(ctypes.c_void_p(queue))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
