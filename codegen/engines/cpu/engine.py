"""The CPU: C functions on the host's cores."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf
from typing import Literal

from codegen.algorithm import Algorithm
from codegen.engine import LaunchLimits
from codegen.engines.cpu.algorithm import CpuAlgorithm
from codegen.engines.cpu.layout import CHANNEL_LAYOUTS
from codegen.errors import ScheduleError
from codegen.layout import Layout, Nchw
from codegen.memory_space import GPU, HOST, MemorySpace
from codegen.program import Program
from codegen.schedule import Candidate
from codegen.target import Target
from codegen.tensor import FloatArray


class CpuEngine:
    """Called layer by layer, in as many threads as the choice says; it sees every memory."""

    name = "cpu"
    program_kind: Literal["cpu", "gpu"] = "cpu"
    reads: frozenset[MemorySpace] = frozenset({HOST, GPU})
    writes: frozenset[MemorySpace] = frozenset({HOST, GPU})
    layouts: tuple[Layout, ...] = tuple(CHANNEL_LAYOUTS.values())
    part_layouts = frozenset({Nchw.name, *CHANNEL_LAYOUTS})
    launches = False
    keeps_cores_busy = True
    tolerance = 1e-4
    program_modules: tuple[str, ...] = (
        "codegen.bundle.entries",
        "codegen.bundle.pool",
        "codegen.engines.cpu.layout",
        "codegen.engines.cpu.toolchain",
    )
    program_files: tuple[str, ...] = ("measure.c",)  # the harness around a kernel

    def is_on(self, target: Target) -> bool:
        """Every board has one."""
        return True

    def launch_limits(self, target: Target) -> LaunchLimits:
        """A call is no launch, and ends when it ends."""
        return LaunchLimits(inf, 1)

    def owns(self, algorithm: Algorithm) -> bool:
        return algorithm.engine == self.name and isinstance(algorithm, CpuAlgorithm)

    def program(
        self,
        algorithm: Algorithm,
        candidate: Candidate,
        target: Target,
        weights: Sequence[FloatArray],
        entry: str,
    ) -> Program:
        if algorithm.engine != self.name or not isinstance(algorithm, CpuAlgorithm):
            raise ScheduleError(
                f"algorithm {algorithm.name!r} makes no program for the CPU: it needs a method emit"
            )
        return algorithm.emit(candidate.spec, target, candidate.choice, weights, entry)
