"""One virtual VideoCore IV: allocate GPU memory, execute a control list, read what it took."""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from microbench.errors import BoardError, CandidateError, HazardError
from microbench.profile import DeviceProfile, load_profile
from microbench.virtual.execution import Execution, InstructionProfile, StaleRead, StaleReads, Warned
from microbench.virtual.launch import GpuLaunch, idle
from microbench.virtual.library import library
from microbench.virtual.trace import Intervals, Trace
from microbench.virtual.window import window

_OK, _USAGE, _CANCELLED = 0, 7, 5
_WINDOWS = 2  # of instructions in one message: a deadlock may stop all QPUs


@dataclass(frozen=True, eq=False)
class Allocation:
    """GPU memory: its bus address, and a writable view of its bytes that must not outlive the GPU."""

    bus: int
    view: NDArray[np.uint8]


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
        self._observed = (False, 0)
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
        profile: bool = False,
        trace_intervals: int = 0,
    ) -> Execution:
        """Runs one launch; `timeout_s` is simulated time, `wall_limit_s` this machine's.

        Control memory holds a pair of words for each QPU: bus addresses of its uniforms and of its code. Caches are
        cleared first unless `noflush`; semaphores keep their values (a launch that was stopped leaves them at 0).
        `profile` keeps stalls by instruction; `trace_intervals` bounds the trace that is kept.
        Raises HazardError when the GPU stopped the program: hazard, stray access, deadlock or time limit.
        """
        handle = self._open()
        self._observe(handle, (profile, trace_intervals))
        arguments = (num_qpus, control_bus, noflush, timeout_s, mark_bus)
        launch = GpuLaunch(self._library, handle, self._busy, arguments)
        result = launch.run(wall_limit_s)
        self._check(result, control_bus, wall_limit_s)
        return self._execution(handle, result)

    def _observe(self, handle: int, wanted: tuple[bool, int]) -> None:
        if wanted != self._observed:
            with self._busy:
                self._library.observe(handle, *wanted)
            self._observed = wanted

    def _check(self, result: Any, control_bus: int, wall_limit_s: float) -> None:
        message = result.message.decode(errors="replace")
        if result.status == _USAGE:
            raise CandidateError(f"virtual GPU: {message}")
        if result.status == _CANCELLED:
            raise HazardError(f"virtual GPU: stopped after {wall_limit_s:g} s of this machine's time")
        if result.status != _OK:
            raise HazardError("\n".join((f"virtual GPU: {message}", *self._windows(result, control_bus))))

    def _windows(self, result: Any, control_bus: int) -> tuple[str, ...]:
        """The instructions around those that the launch was stopped at, once where QPUs stopped at the same."""
        first_qpus: dict[int, int] = {}
        for qpu, bus in enumerate(result.stopped_bus):
            if bus:
                first_qpus.setdefault(bus, qpu)
        texts = []
        for bus, qpu in list(first_qpus.items())[:_WINDOWS]:
            code = self._words(control_bus + 8 * qpu + 4, np.uint32)
            text = window(lambda address: self._words(address, np.uint64), bus, bus if code is None else code)
            if text:
                texts.append(f"QPU {qpu}:\n{text}")
        return tuple(texts)

    def _words(self, bus: int, kind: type[np.uint32 | np.uint64]) -> int | None:
        """The little-endian word at a bus address, None outside the allocations."""
        size = np.dtype(kind).itemsize
        address = self._library.map(self._open(), bus & 0xFFFFFFFF, size)
        return int.from_bytes(ctypes.string_at(address, size), "little") if address else None

    def _execution(self, handle: int, result: Any) -> Execution:
        counters = {name: float(getattr(result, name)) for name in self._library.counter_names}
        listed = result.stale[: min(result.stale_reads, len(result.stale))]
        stale = tuple(StaleRead(entry.bus, entry.qpu, entry.instruction) for entry in listed)
        return Execution(
            cycles=result.cycles,
            time_s=result.time_s,
            overhead_s=self._overhead_s,
            counters={"cycles": float(result.cycles), **counters},
            stale_reads=StaleReads(result.stale_reads, stale),
            mark_times_s=tuple(c / self._clock_hz for c in result.mark_cycles[: result.mark_count]),
            first_stale=stale[0] if stale else None,
            profile=self._profile(handle),
            marks=self._marks(handle, result) if self._observed[0] else (),
            trace=self._trace(handle) if self._observed[1] else None,
            warnings=self._warnings(result),
        )

    def _warnings(self, result: Any) -> tuple[Warned, ...]:
        return tuple(
            Warned(name, int(w.count), int(w.bus), int(w.qpu), int(w.instruction))
            for name, w in zip(self._library.warning_names, result.warned, strict=True)
            if w.count
        )

    def _profile(self, handle: int) -> tuple[InstructionProfile, ...]:
        causes = self._library.cause_names
        return tuple(
            InstructionProfile(e.bus, e.executions, dict(zip(causes, e.stall_cycles, strict=True)))
            for e in self._library.profile_of(handle)
        )

    def _marks(self, handle: int, result: Any) -> tuple[Mapping[str, float], ...]:
        counts = self._library.marks_of(handle, min(result.mark_count, len(result.mark_cycles)))
        return tuple(
            {"cycles": float(cycles), **{name: float(value) for name, value in counted.items()}}
            for cycles, counted in zip(result.mark_cycles, counts, strict=False)
        )

    def _trace(self, handle: int) -> Trace:
        columns, dropped = self._library.trace_of(handle)
        tmus = int(self.profile.v3d_value("tmus_per_slice"))
        return Trace(self._clock_hz, Intervals(columns, self._library.cause_names, tmus), dropped)

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
