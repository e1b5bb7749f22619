"""A bundle as a callable in this process: compiled for this machine, loaded through ctypes, fed with numpy arrays.

Of one that uses QPUs: those of this machine where it is a Raspberry Pi, else those of the virtual board in the bundle.
"""

from __future__ import annotations

import ctypes
import logging
import statistics
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from platform import machine
from types import TracebackType
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from codegen.bundle.build_files import VIRTUAL, VIRTUAL_FLAGS
from codegen.bundle.manifest import Manifest, bundle_sources, read_manifest
from codegen.bundle.pool import pool_flags
from codegen.engines.cpu.toolchain import KERNEL_FLAGS, compile_shared
from codegen.errors import (
    BundleError,
    FrameQueueError,
    GpuUnavailableError,
    QueueFullError,
    TensorError,
    TicketError,
)
from codegen.frame_queue import Frame, FrameQueue, FrameStruct, Ticket, TimesStruct
from codegen.plan import PlanTensor
from codegen.processors import ARM_MACHINES
from codegen.target import Target
from codegen.tensor import Array

TIMER_FILE = "model_timer.c"
ERROR_BYTES = 1024
ALIGNMENT = 64
GPU_ABSENCES = range(1, 6)  # PLATFORM_IS_ABSENCE of platform.h
FRAME_PENDING, FRAME_QUEUE_FULL, FRAME_UNKNOWN = 32, 33, 34  # of frame_queue.h

Platform = Literal["none", "mailbox", "virtual"]
log = logging.getLogger(__name__)
log.addHandler(logging.NullHandler())

_TIMER = """
#define _POSIX_C_SOURCE 199309L
#include <time.h>

#define MODEL_GENERIC_NAMES
#include "model.h"

/* Runs `runs` times; seconds of each run by the monotonic clock. 0, or what the run that failed gave. */
int model_timer(model_handle *handle, const void *inputs, const void *outputs, int runs, double *seconds)
{
    for (int r = 0; r < runs; ++r) {
        struct timespec start, end;
        clock_gettime(CLOCK_MONOTONIC, &start);
        const int code = model_run(handle, inputs, (void *)outputs);
        clock_gettime(CLOCK_MONOTONIC, &end);
        if (code != 0)
            return code;
        seconds[r] = (double)(end.tv_sec - start.tv_sec) + 1e-9 * (double)(end.tv_nsec - start.tv_nsec);
    }
    return 0;
}
"""


@dataclass(frozen=True)
class Description:
    """What a loaded bundle is: its interface, its steps in order, bytes of one handle on the CPU, and threads of a run.

    `platform`: what computes steps on QPUs, by a simulator where it is `virtual`. `without_gpu`: why they were not to
    be had, where the plan for the CPU runs instead.
    """

    model_name: str
    device: str
    inputs: tuple[PlanTensor, ...]
    outputs: tuple[PlanTensor, ...]
    steps: tuple[str, ...]
    weights_bytes: int
    arena_bytes: int
    threads: int
    platform: Platform
    without_gpu: str | None


class LoadedBundle:
    """A handle of a bundle: `run`, `time_s`, `step_times_s`, `describe`; `submit`, `wait` and `poll` for frames in a
    queue; a context manager.

    Calls from several threads wait for each other; handles do not: load the bundle once for each thread.
    """

    def __init__(self, library: Path, directory: Path, manifest: Manifest, platform: Platform) -> None:
        """`load_bundle` makes one. Raises BundleError where the library or the weights cannot be loaded, and of these
        GpuUnavailableError where QPUs are not to be had.
        """
        self._manifest, self._platform, self._lock = manifest, platform, threading.Lock()
        self._tickets: dict[int, Ticket] = {}
        try:
            self._library = ctypes.CDLL(str(library))
        except OSError as error:
            raise BundleError(f"bundle {directory}: its library cannot be loaded: {error}") from error
        self._name = manifest.identifier
        if not hasattr(self._library, f"{self._name}_open"):
            raise BundleError(f"bundle {directory} is of an earlier version; compile the plan again")
        message, handle = ctypes.create_string_buffer(ERROR_BYTES), ctypes.c_void_p()
        code = self._function("open", ctypes.c_int)(
            str(directory).encode(), ctypes.byref(handle), message, ctypes.c_size_t(ERROR_BYTES)
        )
        if code != 0:
            kind = GpuUnavailableError if code in GPU_ABSENCES else BundleError
            raise kind(f"bundle {directory}: {message.value.decode('utf-8', 'replace')}")
        self._handle: int | None = handle.value
        why = self._function("without_gpu", ctypes.c_char_p)(handle)
        self._without_gpu: str | None = why.decode("utf-8", "replace") if why else None
        if self._without_gpu is not None:
            log.warning("bundle %s: its plan for the CPU runs: %s", directory, self._without_gpu)

    def run(self, inputs: Mapping[str, Array]) -> dict[str, NDArray[Any]]:
        """One inference: outputs by name, new C-contiguous arrays in the network's (NCHW) order.

        `inputs` are C-contiguous, of exactly the model's names, element types and shapes: raises TensorError where they
        are not, and copies nothing. BundleError where the model is closed or the run fails.
        """
        arrays = [self._checked(tensor, inputs) for tensor in self._wanted(inputs)]
        outputs = {tensor.name: _aligned(tensor) for tensor in self._manifest.outputs}
        with self._lock:
            code = self._function("run", ctypes.c_int)(
                self._idle(), _pointers(arrays), _pointers(list(outputs.values()))
            )
        self._check(code)
        return outputs

    def time_s(self, inputs: Mapping[str, Array], runs: int = 10, warmup: int = 2) -> tuple[float, ...]:
        """Seconds of each of `runs` inferences, by the clock read in C, after `warmup` others.

        One call into C for all of them: nothing of Python is in between. Raises as `run`, and ValueError for less
        than one run or a negative warm-up.
        """
        if runs < 1 or warmup < 0:
            raise ValueError(f"at least one run and no negative warm-up, not {runs} and {warmup}")
        arrays = [self._checked(tensor, inputs) for tensor in self._wanted(inputs)]
        outputs = [_aligned(tensor) for tensor in self._manifest.outputs]
        seconds = (ctypes.c_double * (warmup + runs))()
        timer = self._library.model_timer
        timer.restype = ctypes.c_int
        with self._lock:
            code = timer(
                self._idle(), _pointers(arrays), _pointers(outputs), ctypes.c_int(warmup + runs), seconds
            )
        self._check(code)
        return tuple(seconds[warmup:])

    def submit(
        self,
        queue: FrameQueue,
        inputs: Mapping[str, Array],
        *,
        priority: int = 0,
        deadline_s: float | None = None,
    ) -> Ticket:
        """Queues one inference and returns at once; the inputs must not change before its end is told.

        Frames of higher `priority` are run first; one that ends after `deadline_s`, of time.monotonic(), is counted as
        late. Raises QueueFullError, FrameQueueError where frames of this bundle are in another queue, else as `run`.
        """
        arrays = [self._checked(tensor, inputs) for tensor in self._wanted(inputs)]
        outputs = {tensor.name: _aligned(tensor) for tensor in self._manifest.outputs}
        given, taken = _pointers(arrays), _pointers(list(outputs.values()))
        job = FrameStruct(ctypes.addressof(given), ctypes.addressof(taken), priority, deadline_s or 0.0)
        number = ctypes.c_uint64()
        with self._lock:
            if any(ticket.queue is not queue for ticket in self._queued()):
                raise FrameQueueError(
                    f"model {self._manifest.model_name!r} has frames in another queue; wait for them first"
                )
            code = self._function("submit", ctypes.c_int)(
                self._open(), queue.address, ctypes.byref(job), ctypes.byref(number)
            )
            if code == FRAME_QUEUE_FULL:
                raise QueueFullError(
                    f"the queue has its {queue.capacity} frames; wait for one of them, or drop this one"
                )
            self._check(code)
            ticket = Ticket(number.value, queue, dict(inputs), outputs, (given, taken))
            self._tickets[id(ticket)] = ticket
        return ticket

    def wait(self, ticket: Ticket) -> Frame:
        """The frame, once it has ended. Raises TicketError where it is another bundle's or was told already,
        BundleError where its run failed.
        """
        frame = self._told(ticket, "wait")
        assert frame is not None
        return frame

    def poll(self, ticket: Ticket) -> Frame | None:
        """The frame, or None where it has not ended; raises as `wait`."""
        return self._told(ticket, "poll")

    def _told(self, ticket: Ticket, way: Literal["wait", "poll"]) -> Frame | None:
        with self._lock:
            self._require(ticket)
        times = TimesStruct()
        code = self._function(way, ctypes.c_int)(
            self._open(), ticket.queue.address, ctypes.c_uint64(ticket.number), ctypes.byref(times)
        )
        if code == FRAME_PENDING:
            return None
        with self._lock:
            self._require(ticket, is_told=code == FRAME_UNKNOWN)  # by another thread, meanwhile
            del self._tickets[id(ticket)]
        self._check(code)
        return Frame(
            ticket.outputs,
            times.submitted_s,
            times.started_s,
            times.ended_s,
            times.awaited_s,
            times.launched_s,
            bool(times.is_late),
        )

    def _require(self, ticket: Ticket, is_told: bool = False) -> None:
        if is_told or id(ticket) not in self._tickets:
            raise TicketError(
                f"model {self._manifest.model_name!r} waits for no such frame: the ticket is another bundle's, or its "
                "end was told already"
            )

    def median_s(self, inputs: Mapping[str, Array], runs: int = 10, warmup: int = 2) -> float:
        """The median of `time_s`."""
        return statistics.median(self.time_s(inputs, runs, warmup))

    def step_times_s(self) -> dict[str, float]:
        """Seconds of every step in the last run, by name in the plan's order; zeros before the first run, -1 where a
        step cannot be told from the others of its launch. Of the virtual board they are simulated.
        """
        steps = self._steps
        seconds = (ctypes.c_double * len(steps))()
        with self._lock:
            self._function("step_times", None)(self._open(), seconds)
        return dict(zip(steps, seconds, strict=True))

    def describe(self) -> Description:
        """Interface, steps, memory and threads."""
        manifest, second = self._manifest, self._manifest.cpu_plan if self._without_gpu is not None else None
        with self._lock:
            threads = self._function("threads", ctypes.c_int)(self._open())
        return Description(
            model_name=manifest.model_name,
            device=manifest.device,
            inputs=manifest.inputs,
            outputs=manifest.outputs,
            steps=self._steps,
            weights_bytes=second.weights_bytes - ALIGNMENT
            if second
            else max(
                (
                    entry.offset_bytes + -(-entry.size_bytes // ALIGNMENT) * ALIGNMENT
                    for entry in manifest.cpu_weights
                ),
                default=0,
            ),
            arena_bytes=second.arena_bytes if second else manifest.arena_bytes,
            threads=threads,
            platform=self._platform,
            without_gpu=self._without_gpu,
        )

    @property
    def _steps(self) -> tuple[str, ...]:
        second = self._manifest.cpu_plan if self._without_gpu is not None else None
        return second.steps if second else self._manifest.steps

    def close(self) -> None:
        """Frees the handle and ends its threads, once its frames in a queue have ended; a second call does nothing."""
        with self._lock:
            for ticket in self._queued():
                self._function("wait", ctypes.c_int)(
                    self._open(), ticket.queue.address, ctypes.c_uint64(ticket.number), None
                )
            self._tickets.clear()
            handle, self._handle = self._handle, None
            if handle is not None:
                self._function("free", None)(ctypes.c_void_p(handle))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _function(
        self, suffix: str, result: type[ctypes.c_void_p | ctypes.c_int | ctypes.c_char_p] | None
    ) -> ctypes._NamedFuncPointer:
        function = self._library[f"{self._name}_{suffix}"]
        function.restype = result
        return function

    def _open(self) -> ctypes.c_void_p:
        if self._handle is None:
            raise BundleError(f"model {self._manifest.model_name!r} is closed; load the bundle again")
        return ctypes.c_void_p(self._handle)

    def _queued(self) -> list[Ticket]:
        """Frames whose end was not told; those of a queue that is closed have ended."""
        return [ticket for ticket in self._tickets.values() if not ticket.queue.is_closed]

    def _idle(self) -> ctypes.c_void_p:
        """The handle, where no queue has it."""
        if self._queued():
            raise FrameQueueError(
                f"model {self._manifest.model_name!r} has frames in a queue; wait for them before it is run"
            )
        return self._open()

    def _check(self, code: int) -> None:
        if code != 0:
            raise BundleError(
                f"model {self._manifest.model_name!r}: a run failed with code {code} (platform.h)"
            )

    def _wanted(self, inputs: Mapping[str, Array]) -> tuple[PlanTensor, ...]:
        names = [tensor.name for tensor in self._manifest.inputs]
        if set(inputs) != set(names):
            raise TensorError(
                f"model {self._manifest.model_name!r} has the inputs {', '.join(map(repr, names))}, "
                f"given {', '.join(map(repr, inputs)) or 'none'}"
            )
        return self._manifest.inputs

    def _checked(self, tensor: PlanTensor, inputs: Mapping[str, Array]) -> Array:
        array, place = inputs[tensor.name], f"input {tensor.name!r}"
        if not isinstance(array, np.ndarray):
            raise TensorError(
                f"{place} is no numpy array but {type(array).__name__}; numpy.asarray makes one"
            )
        if array.dtype != tensor.type.element_type.dtype:
            raise TensorError(
                f"{place} is of {array.dtype}, not {tensor.dtype}; array.astype(numpy.{tensor.dtype}) converts it"
            )
        if array.shape != tensor.shape:
            raise TensorError(f"{place} has the shape {array.shape}, the model's is {tensor.shape}")
        if not (array.flags.c_contiguous and array.flags.aligned):
            raise TensorError(f"{place} does not lie in row-major order; numpy.ascontiguousarray copies it")
        return array


def load_bundle(directory: Path, target: Target, platform: Platform | None = None) -> LoadedBundle:
    """Compiles a bundle as a shared object for `target`, which is this machine, and loads it.

    `platform` is what computes steps on QPUs, None: `mailbox` on a Raspberry Pi with a 32-bit system, elsewhere
    `virtual` where the bundle has that board; with `none`, the plan for the CPU that it may carry runs. Equal bundles
    give the cached library. Raises BundleError for a damaged bundle, GpuUnavailableError where its QPUs are not to be
    had and it has no other plan, ToolchainError where it cannot be compiled.
    """
    manifest = read_manifest(directory)
    has_virtual = any(name.startswith(f"{VIRTUAL}/") for name in manifest.files)
    chosen = platform or _platform_here(manifest, has_virtual)
    if chosen == VIRTUAL and not has_virtual:
        raise BundleError(
            f"bundle {directory} has no virtual board; `explore compile` writes one for plans with steps on QPUs"
        )
    sources = bundle_sources(directory, manifest, chosen, program=None)
    flags = (*KERNEL_FLAGS, *pool_flags(manifest.files), *(VIRTUAL_FLAGS if chosen == VIRTUAL else ()))
    library = compile_shared({**sources, TIMER_FILE: _TIMER}, target, flags)
    return LoadedBundle(library, directory, manifest, chosen)


def _platform_here(manifest: Manifest, has_virtual: bool) -> Platform:
    if manifest.gpu is None:
        return "none"
    if machine() in ARM_MACHINES:
        return "mailbox"
    return "virtual" if has_virtual else "none"


def _aligned(tensor: PlanTensor) -> NDArray[Any]:
    """An array at a multiple of 64 bytes; in every byte ones, which of floating types are not a number."""
    size_bytes = tensor.type.size_bytes
    memory = np.full(size_bytes + ALIGNMENT, 0xFF, dtype=np.uint8)
    start = -memory.ctypes.data % ALIGNMENT
    return memory[start : start + size_bytes].view(tensor.type.element_type.dtype).reshape(tensor.shape)


def _pointers(arrays: Sequence[Array]) -> ctypes.Array[ctypes.c_void_p]:
    return (ctypes.c_void_p * max(1, len(arrays)))(*(array.ctypes.data for array in arrays))
