"""What the suite needs of a GPU: memory, launches, and how many units there are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from codegen.program import GpuProgram
from microbench.errors import ProfileError
from microbench.profile import DeviceProfile


class Memory(Protocol):
    """An allocation: its bus address, and a view of its bytes."""

    @property
    def bus(self) -> int: ...

    @property
    def view(self) -> NDArray[np.uint8]: ...


class LaunchTime(Protocol):
    """What a launch took in seconds, the call itself included: all that a board tells."""

    @property
    def time_s(self) -> float: ...


class Gpu(Protocol):
    """Memory and launches as the firmware's mailbox has them (tags 0x3000c to 0x30011).

    `execute` raises HazardError for a launch that does not come back, or that the virtual GPU stopped.
    """

    def alloc(self, n_bytes: int, align: int = 4096) -> Memory: ...

    def execute(
        self, num_qpus: int, control_bus: int, noflush: int = 0, timeout_s: float = 1.0
    ) -> LaunchTime: ...


class Launcher(Protocol):
    """Launches of relocatable programs, wherever the GPU is."""

    def times_s(self, program: GpuProgram, repeats: int) -> tuple[float, ...]:
        """What the program's one launch takes each time, the call itself included; memory behind its words holds
        anything. Raises HazardError for a launch that does not come back, CandidateError without enough memory.
        """
        ...


# Constants that a board states, so that they are read and not fitted: GET_CLOCK_RATE, and V3D_IDENT1 (guide p.97).
TOLD = ("clock_hz", "qpus", "qpus_per_slice", "tmus_per_slice")


@dataclass(frozen=True)
class BoardShape:
    """What a program must know before it can run. `clock_hz` only turns seconds into cycles in tables."""

    clock_hz: float
    qpus: int
    qpus_per_slice: int
    tmus_per_slice: int

    @staticmethod
    def of(profile: DeviceProfile) -> BoardShape:
        """The shape a profile states; raises ProfileError for a device without QPUs."""
        if not profile.v3d:
            raise ProfileError(
                f"device {profile.name!r} has no QPUs: there is nothing to benchmark or to calibrate; "
                "take a profile with a table [v3d]"
            )
        return BoardShape(
            profile.v3d_value("clock_hz"),
            *(int(profile.v3d_value(name)) for name in ("qpus", "qpus_per_slice", "tmus_per_slice")),
        )
