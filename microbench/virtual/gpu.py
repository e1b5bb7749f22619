"""One virtual VideoCore IV: allocate GPU memory, execute a control list, read what it took."""

from __future__ import annotations

import ctypes
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from microbench.errors import BoardError, CandidateError, HazardError
from microbench.profile import DeviceProfile, load_profile
from microbench.virtual.library import Library, library

_OK, _USAGE, _CANCELLED = 0, 7, 5
_POLL_S = 0.05


@dataclass(frozen=True, eq=False)
class Allocation:
    """GPU memory: its bus address, and a writable view of its bytes that must not outlive the GPU."""

    bus: int
    view: NDArray[np.uint8]


@dataclass(frozen=True)
class StaleRead:
    """A read that got a cached value older than a DMA store; the first of a launch."""

    bus: int
    qpu: int
    instruction: int


@dataclass(frozen=True)
class Execution:
    """What one launch took, in simulated time. `time_s` includes `overhead_s`, the cost of the launch call itself.

    `mark_times_s`: seconds from the launch's start (without overhead) to the n-th passing of the mark by the last QPU.
    """

    cycles: int
    time_s: float
    overhead_s: float
    counters: Mapping[str, float]
    stale_reads: int
    mark_times_s: tuple[float, ...] = ()
    first_stale: StaleRead | None = field(default=None)


class _Launch:
    """One execution in a thread of its own, so that Ctrl-C and the wall-clock limit reach the waiting one.

    The thread holds `busy` while it uses the GPU. Whatever interrupts the waiting, and whenever, the thread has
    let go of the GPU, or will not touch it, before `run` is left; a second interrupt is left to `close`.
    """

    def __init__(
        self,
        library: Library,
        handle: int,
        busy: threading.Lock,
        arguments: tuple[int, int, int, float, int],
    ) -> None:
        self._library, self._handle, self._busy, self._arguments = library, handle, busy, arguments
        self._ended = threading.Event()
        self._abandoned = False
        self._result: Any = None

    def run(self, wall_limit_s: float) -> Any:
        """The result structure."""
        deadline = time.monotonic() + wall_limit_s
        try:
            threading.Thread(target=self._work, name="virtual-v3d", daemon=True).start()
            while not self._ended.wait(_POLL_S):
                if time.monotonic() > deadline:
                    self._library.cancel(self._handle)
        except BaseException:
            self._abandoned = True
            with idle(self._library, self._handle, self._busy):
                raise
        return self._result

    def _work(self) -> None:
        try:
            with self._busy:
                if not self._abandoned:
                    self._result = self._library.execute(self._handle, *self._arguments)
        finally:
            self._ended.set()


@contextmanager
def idle(library: Library, handle: int, busy: threading.Lock) -> Iterator[None]:
    """Cancels what the GPU executes until it is idle, and keeps it so."""
    while not busy.acquire(timeout=_POLL_S):
        library.cancel(handle)
    try:
        yield
    finally:
        busy.release()


class VirtualV3D:
    """A virtual GPU with the constants of a profile. `strict` stops at every broken rule of the hardware.

    A context manager. Raises ToolchainError where the simulator cannot be compiled, ProfileError where the profile
    lacks a constant.
    """

    def __init__(self, profile: DeviceProfile | str = "pi-zero", strict: bool = True) -> None:
        self.profile = load_profile(profile) if isinstance(profile, str) else profile
        self._library = library()
        self._busy = threading.Lock()
        self._handle = self._library.new(self.profile, strict)
        self._clock_hz = self.profile.v3d_value("clock_hz")
        self._overhead_s = self.profile.v3d_value("launch_overhead_s")

    def alloc(self, n_bytes: int, align: int = 4096) -> Allocation:
        """New memory, filled with 0xff; raises CandidateError when it does not fit."""
        handle = self._open()
        bus = self._library.alloc(handle, n_bytes, align)
        if bus == 0:
            total = self.profile.gpu_memory_bytes
            raise CandidateError(
                f"GPU memory of {self.profile.name!r}: no room for {n_bytes} bytes of {total}; "
                "free some, or plan smaller"
            )
        address = self._library.map(handle, bus, n_bytes)
        buffer = (ctypes.c_uint8 * n_bytes).from_address(address)
        return Allocation(bus, np.ctypeslib.as_array(buffer))

    def free(self, allocation: Allocation) -> None:
        """Gives memory back; its view must not be used afterwards. Raises BoardError for memory that is not there."""
        if not self._library.free(self._open(), allocation.bus):
            raise BoardError(f"no GPU memory is allocated at {allocation.bus:#010x}")

    def execute(
        self,
        num_qpus: int,
        control_bus: int,
        noflush: int = 0,
        timeout_s: float = 1.0,
        mark_bus: int = 0,
        wall_limit_s: float = 600.0,
    ) -> Execution:
        """Runs one launch; `timeout_s` is simulated time, `wall_limit_s` this machine's.

        Raises HazardError when the GPU stopped the program: hazard, stray access, deadlock or time limit.
        """
        arguments = (num_qpus, control_bus, noflush, timeout_s, mark_bus)
        launch = _Launch(self._library, self._open(), self._busy, arguments)
        return self._execution(launch.run(wall_limit_s), wall_limit_s)

    def _execution(self, result: Any, wall_limit_s: float) -> Execution:
        message = result.message.decode(errors="replace")
        if result.status == _USAGE:
            raise CandidateError(f"virtual GPU: {message}")
        if result.status == _CANCELLED:
            raise HazardError(f"virtual GPU: stopped after {wall_limit_s:g} s of this machine's time")
        if result.status != _OK:
            raise HazardError(f"virtual GPU: {message}")
        counters = {name: float(getattr(result, name)) for name in self._library.counter_names}
        marks = tuple(cycles / self._clock_hz for cycles in result.mark_cycles[: result.mark_count])
        stale = StaleRead(result.first_stale_bus, result.first_stale_qpu, result.first_stale_instruction)
        return Execution(
            cycles=result.cycles,
            time_s=result.time_s,
            overhead_s=self._overhead_s,
            counters={"cycles": float(result.cycles), **counters},
            stale_reads=result.stale_reads,
            mark_times_s=marks,
            first_stale=stale if result.stale_reads else None,
        )

    def _open(self) -> int:
        if not self._handle:
            raise BoardError("the virtual GPU is closed")
        return self._handle

    def close(self) -> None:
        """Frees everything; views of its memory must not be used afterwards. May be called twice."""
        handle, self._handle = self._handle, 0
        if handle:
            with idle(self._library, handle, self._busy):
                self._library.delete(handle)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
