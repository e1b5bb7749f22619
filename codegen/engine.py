"""The axis of processors: an engine runs layers, from and to memories and layouts of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from codegen.algorithm import Algorithm
from codegen.launches import LaunchLimits
from codegen.layout import Layout
from codegen.memory_space import MemorySpace
from codegen.program import Program
from codegen.schedule import Candidate
from codegen.section import Section, Share
from codegen.target import Target
from codegen.tensor import FloatArray


class Engine(Protocol):
    """A processor of a board, and all that the search and the compiler have to know of it.

    `memory`: its own, where a bundle puts what its launches touch. `reads`, `writes`: names of the memories that its
    layers can. `layouts`: those that it brings beside row-major, which is everybody's; each layout belongs to one
    engine. `part_layouts`: the layouts in which a layer of it may be composed as a part of a concatenation in place.
    `launches`: its layers run in launches of an image of GPU memory, which cost an overhead, and which neighbouring
    layers share; otherwise they are C functions, called one by one. `keeps_cores_busy`: whether a core of the host
    works, or waits, while its layers run. `tolerance`: the largest error that an output may have, relative to the
    largest output. `program_modules`, `program_files`: the modules, and C files of the runtime, that make a program to
    be timed of an algorithm's code: samples are told apart by what they are.
    """

    name: str
    memory: MemorySpace
    reads: frozenset[str]
    writes: frozenset[str]
    layouts: tuple[Layout, ...]
    part_layouts: frozenset[str]
    launches: bool
    keeps_cores_busy: bool
    tolerance: float
    program_modules: tuple[str, ...]
    program_files: tuple[str, ...]

    def is_on(self, target: Target) -> bool:
        """Whether the board has it."""
        ...

    def launch_limits(self, target: Target) -> LaunchLimits:
        """What one launch may hold; asked only of an engine that launches."""
        ...

    def parts(self, algorithm: Algorithm, candidate: Candidate, target: Target) -> int:
        """In how many parts, about equally long, it makes programs of a layer: of several each may have a launch of its
        own.
        """
        ...

    def owns(self, algorithm: Algorithm) -> bool:
        """Whether an algorithm of its name has the methods that it makes programs by."""
        ...

    def program(
        self,
        algorithm: Algorithm,
        candidate: Candidate,
        target: Target,
        weights: Sequence[FloatArray],
        entry: str,
    ) -> Program:
        """A program of one layer: an image where it launches, else C; `entry` names it where names matter.

        Raises ScheduleError for an algorithm that it does not own, and what that raises where there is no program.
        """
        ...

    def section(self, share: Share, target: Target) -> Section:
        """Its share of a plan as a part of a bundle: functions, or where it launches an image of GPU memory, with
        launches that keep to its limits.

        Raises PlanError where a step fits no launch, LinkError where the image does not fit the board.
        """
        ...
