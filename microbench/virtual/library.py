"""The simulator's C interface (v3d.h) through ctypes."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from microbench.errors import BoardError
from microbench.profile import DeviceProfile
from microbench.virtual.build import library_path, machine_flags
from microbench.virtual.constants import constants_of
from microbench.virtual.structures import InstructionEntry, IntervalEntry, result_type


class Library:
    """A loaded shared object, with argument types set and the result structure made from the names it gives."""

    def __init__(self, path: Path) -> None:
        try:
            self._dll = ctypes.CDLL(str(path))
        except OSError as error:
            raise BoardError(
                f"cannot load the simulator {path}: {error}; delete the file, it is rebuilt"
            ) from error
        self.counter_names = self._names("v3d_counter_names")
        self.cause_names = self._names("v3d_cause_names")
        self.warning_names = self._names("v3d_warning_names")
        self.Result = result_type(self.counter_names, len(self.warning_names))
        self._declare()

    def _names(self, function: str) -> tuple[str, ...]:
        call = getattr(self._dll, function)
        call.restype = ctypes.c_char_p
        text: bytes = call()
        return tuple(name for name in text.decode().split(",") if name)

    def _declare(self) -> None:
        word, pointer = ctypes.c_uint32, ctypes.c_void_p
        count, long_count = ctypes.POINTER(ctypes.c_uint32), ctypes.POINTER(ctypes.c_uint64)
        signatures: Mapping[str, tuple[object, tuple[object, ...]]] = {
            "v3d_new": (pointer, (pointer, ctypes.c_int)),
            "v3d_delete": (None, (pointer,)),
            "v3d_alloc": (word, (pointer, word, word)),
            "v3d_map": (pointer, (pointer, word, word)),
            "v3d_free": (ctypes.c_int, (pointer, word)),
            "v3d_execute": (
                ctypes.c_int,
                (pointer, word, word, ctypes.c_int, ctypes.c_double, word, ctypes.POINTER(self.Result)),
            ),
            "v3d_observe": (ctypes.c_int, (pointer, ctypes.c_int, word)),
            "v3d_profile_of": (ctypes.POINTER(InstructionEntry), (pointer, count)),
            "v3d_trace_of": (ctypes.POINTER(IntervalEntry), (pointer, count, long_count)),
            "v3d_marks_of": (long_count, (pointer,)),
            "v3d_cancel": (None, (pointer,)),
            "v3d_alu": (ctypes.c_int, (*[ctypes.c_int] * 2, *[pointer] * 2, ctypes.c_int, *[pointer] * 3)),
        }
        for name, (result, arguments) in signatures.items():
            function = getattr(self._dll, name)
            function.restype, function.argtypes = result, arguments

    def new(self, profile: DeviceProfile, strict: bool) -> int:
        """A new virtual GPU with the constants of a profile; raises ProfileError or BoardError."""
        values = tuple(constants_of(profile).values())
        config = (ctypes.c_double * len(values))(*values)
        handle = self._dll.v3d_new(config, int(strict))
        if not handle:
            raise BoardError(
                f"the simulator refuses the constants of profile {profile.name!r}, or memory is short"
            )
        return int(handle)

    def delete(self, handle: int) -> None:
        self._dll.v3d_delete(handle)

    def alloc(self, handle: int, n_bytes: int, align: int) -> int:
        """Bus address, 0 when there is no room."""
        return int(self._dll.v3d_alloc(handle, n_bytes, align))

    def map(self, handle: int, bus: int, n_bytes: int) -> int:
        """Host address, 0 when the range is not in one allocation."""
        return int(self._dll.v3d_map(handle, bus, n_bytes) or 0)

    def free(self, handle: int, bus: int) -> bool:
        return bool(self._dll.v3d_free(handle, bus) == 0)

    def execute(
        self, handle: int, num_qpus: int, control_bus: int, noflush: int, timeout_s: float, mark_bus: int
    ) -> Any:
        """One launch; blocks, without the interpreter's lock. Returns the result structure."""
        result = self.Result()
        self._dll.v3d_execute(
            handle, num_qpus, control_bus, noflush, timeout_s, mark_bus, ctypes.byref(result)
        )
        return result

    def observe(self, handle: int, profile: bool, intervals: int) -> None:
        """What the launches to come leave behind; raises BoardError when memory is short."""
        if self._dll.v3d_observe(handle, int(profile), intervals) != 0:
            raise BoardError(f"no memory for a trace of {intervals} intervals; ask for fewer")

    def profile_of(self, handle: int) -> list[InstructionEntry]:
        """The last launch's instructions; valid until the next launch."""
        count = ctypes.c_uint32()
        entries = self._dll.v3d_profile_of(handle, ctypes.byref(count))
        return [entries[i] for i in range(count.value)] if entries else []

    def trace_of(self, handle: int) -> tuple[NDArray[Any], int]:
        """The last launch's intervals, with the fields of IntervalEntry, and how many did not fit."""
        count, dropped = ctypes.c_uint32(), ctypes.c_uint64()
        entries = self._dll.v3d_trace_of(handle, ctypes.byref(count), ctypes.byref(dropped))
        kept = ctypes.string_at(entries, count.value * ctypes.sizeof(IntervalEntry)) if entries else b""
        return np.frombuffer(kept, np.dtype(IntervalEntry)), dropped.value

    def marks_of(self, handle: int, count: int) -> list[dict[str, int]]:
        """Of the last launch, all counters at each mark; valid until the next launch."""
        values, names = self._dll.v3d_marks_of(handle), self.counter_names
        return [
            {name: values[mark * len(names) + place] for place, name in enumerate(names)}
            for mark in range(count if values else 0)
        ]

    def cancel(self, handle: int) -> None:
        self._dll.v3d_cancel(handle)

    def alu(self, unit: int, op: int, a: int, b: int, pack: int, old: int, result: int, flags: int) -> int:
        """One ALU operation; the last arguments are addresses of 16 words each."""
        return int(self._dll.v3d_alu(unit, op, a, b, pack, old, result, flags))


@cache
def library() -> Library:
    """The simulator, compiled on first use for this machine; raises ToolchainError or BoardError."""
    return Library(library_path(machine_flags()))
