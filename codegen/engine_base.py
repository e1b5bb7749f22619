"""What engines share whose layers are functions of C: they are called, and a section is a function for each step."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from math import inf

from codegen.algorithm import Algorithm
from codegen.launches import LaunchLimits
from codegen.memory_space import HOST_MEMORY
from codegen.program import CpuProgram
from codegen.schedule import Candidate
from codegen.section import Section, SectionStep, Share
from codegen.target import Target
from codegen.tensor import FloatArray


class CalledEngine(ABC):
    """Base of the engines that compute a layer where the host calls its function, and waits."""

    memory = HOST_MEMORY
    launches = False
    keeps_cores_busy = True
    program_files: tuple[str, ...] = ("measure.c",)  # the harness around a kernel

    def launch_limits(self, target: Target) -> LaunchLimits:
        """A call is no launch, and ends when it ends."""
        return LaunchLimits(inf, 1)

    def parts(self, algorithm: Algorithm, candidate: Candidate, target: Target) -> int:
        """A call is not divided."""
        return 1

    @abstractmethod
    def program(
        self,
        algorithm: Algorithm,
        candidate: Candidate,
        target: Target,
        weights: Sequence[FloatArray],
        entry: str,
    ) -> CpuProgram:
        """See `Engine.program`."""

    def section(self, share: Share, target: Target) -> Section:
        """A function for each step; a name of its own where the text depends on the weights."""
        texts: dict[str, str] = {}
        programs: list[CpuProgram] = []
        for step in share.steps:
            program = self._printed(step, target, step.entry)
            if texts.get(step.entry, program.source) != program.source:
                program = self._printed(step, target, f"{step.entry}_{step.index}")
            texts[program.entry] = program.source
            programs.append(program)
        return tuple(programs)

    def _printed(self, step: SectionStep, target: Target, entry: str) -> CpuProgram:
        return self.program(step.algorithm, step.candidate, target, step.weights, entry)
