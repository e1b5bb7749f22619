"""The CPU: C functions on the host's cores."""

from __future__ import annotations

from collections.abc import Sequence

from codegen.algorithm import Algorithm
from codegen.engine_base import CalledEngine
from codegen.engines.cpu.algorithm import CpuAlgorithm
from codegen.engines.cpu.layout import CHANNEL_LAYOUTS
from codegen.errors import ScheduleError
from codegen.layout import Layout, Nchw
from codegen.memory_space import GPU, HOST
from codegen.program import CpuProgram
from codegen.schedule import Candidate
from codegen.stored_weights import stored
from codegen.target import Target
from codegen.tensor import FloatArray


class CpuEngine(CalledEngine):
    """Called layer by layer, in as many threads as the choice says; it sees every memory."""

    name = "cpu"
    reads: frozenset[str] = frozenset({HOST, GPU})
    writes: frozenset[str] = frozenset({HOST, GPU})
    layouts: tuple[Layout, ...] = tuple(CHANNEL_LAYOUTS.values())
    part_layouts = frozenset({Nchw.name, *CHANNEL_LAYOUTS})
    tolerance = 1e-4
    subnormals = True
    program_modules: tuple[str, ...] = (
        "codegen.bundle.entries",
        "codegen.bundle.pool",
        "codegen.engines.cpu.layout",
        "codegen.engines.cpu.toolchain",
    )

    def is_on(self, target: Target) -> bool:
        """Every board has one."""
        return True

    def owns(self, algorithm: Algorithm) -> bool:
        return algorithm.engine == self.name and isinstance(algorithm, CpuAlgorithm)

    def program(
        self,
        algorithm: Algorithm,
        candidate: Candidate,
        target: Target,
        weights: Sequence[FloatArray],
        entry: str,
    ) -> CpuProgram:
        if algorithm.engine != self.name or not isinstance(algorithm, CpuAlgorithm):
            raise ScheduleError(
                f"algorithm {algorithm.name!r} makes no program for the CPU: it needs a method emit"
            )
        return algorithm.emit(candidate.spec, target, candidate.choice, weights, entry)

    def stored(
        self, algorithm: Algorithm, candidate: Candidate, weights: Sequence[FloatArray], filled: float
    ) -> tuple[FloatArray, ...]:
        """Rounded to the nearest; sums lose nothing that weights make up for."""
        return stored(weights, candidate.choice, subnormals=self.subnormals)
