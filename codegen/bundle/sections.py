"""A section of the bundle for each engine of a plan, and what all of them make together."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from codegen.algorithm import algorithm_named
from codegen.bundle.arrangement import Arrangement
from codegen.bundle.filled import filled_shares
from codegen.bundle.names import c_identifier
from codegen.bundle.tasks import Schedule, Task
from codegen.engine import Engine
from codegen.errors import PlanError
from codegen.memory_space import HOST_MEMORY
from codegen.program import CpuProgram, GpuProgram
from codegen.section import SectionStep, Share
from codegen.target import Target
from codegen.tensor import FloatArray


@dataclass(frozen=True, eq=False)
class Sections:
    """The functions of all tasks that are called, in order, and the image of those that are launched."""

    programs: Mapping[int, CpuProgram]
    image: GpuProgram | None

    @property
    def sources(self) -> dict[str, str]:
        """C text by function name, equal functions once."""
        return {program.entry: program.source for program in self.programs.values()}

    @property
    def threads(self) -> int:
        """The most that a kernel is split over: the size of the pool that a handle needs, 1 for none."""
        return max((program.threads for program in self.programs.values()), default=1)

    @property
    def workspaces(self) -> dict[int, int]:
        """Bytes by task."""
        return {task: program.workspace_bytes for task, program in self.programs.items()}

    @cached_property
    def weight_offsets(self) -> dict[int, int]:
        """Where each function's packed weights begin, by task; bytes from the first. Equal ones lie there once."""
        return {task: self._packed[data] for task, data in self._datas.items()}

    @cached_property
    def packed_weights(self) -> bytes:
        """All weights of functions, each at its offset, the last filled up too."""
        return b"".join(data.ljust(HOST_MEMORY.taken_bytes(len(data)), b"\0") for data in self._packed)

    @cached_property
    def _packed(self) -> dict[bytes, int]:
        offsets: dict[bytes, int] = {}
        end = 0
        for data in self._datas.values():
            if data not in offsets:
                offsets[data] = end
                end += HOST_MEMORY.taken_bytes(len(data))
        return offsets

    @cached_property
    def _datas(self) -> dict[int, bytes]:
        return {t: np.asarray(one.weights, dtype="<f4").tobytes() for t, one in self.programs.items()}


def sections_of(
    arrangement: Arrangement,
    weights: Sequence[Sequence[FloatArray]],
    target: Target,
    prefix: str,
) -> Sections:
    """What every engine makes of its share; `weights` are those of every task, names of functions begin with `prefix`.

    Raises PlanError where two engines make images or a step fits no launch, LinkError where an image does not fit the
    board.
    """
    programs: dict[int, CpuProgram] = {}
    images: dict[str, GpuProgram] = {}
    engines = {task.engine.name: task.engine for task in arrangement.schedule.computing}
    filled = filled_shares(task.step for task in arrangement.schedule.tasks)
    for engine in engines.values():
        share = _share(engine, arrangement, weights, filled, prefix)
        section = engine.section(share, target)
        if isinstance(section, GpuProgram):
            images[engine.name] = section
        else:
            programs.update(zip((step.index for step in share.steps), section, strict=True))
    if len(images) > 1:
        raise PlanError(
            f"engines {' and '.join(images)} both make an image of GPU memory, and a bundle has one; make a plan "
            "without one of them"
        )
    return Sections(dict(sorted(programs.items())), next(iter(images.values()), None))


def _share(
    engine: Engine,
    arrangement: Arrangement,
    weights: Sequence[Sequence[FloatArray]],
    filled: Mapping[str, float],
    prefix: str,
) -> Share:
    schedule = arrangement.schedule
    own = [task for task in schedule.computing if task.engine is engine]
    runs = [run for run in arrangement.runs if run[0].engine is engine] if engine.launches else [own]
    written, read = _by_others(schedule, {task.index for task in own})
    return Share(
        [[_step(task, schedule, weights[task.index], filled, prefix) for task in run] for run in runs],
        arrangement.launched,
        tuple(name for name in arrangement.launched_wholes if name in written),
        tuple(name for name in arrangement.launched_wholes if name in read),
    )


def _step(
    task: Task, schedule: Schedule, weights: Sequence[FloatArray], filled: Mapping[str, float], prefix: str
) -> SectionStep:
    step = task.step
    parts = [schedule.parts.get(buffer) for buffer in task.writes]
    return SectionStep(
        task.index,
        step.name,
        f"{prefix}_{c_identifier(step.choice.algorithm)}_{step.candidate.hash[:12]}",
        algorithm_named(step.choice.algorithm),
        step.candidate,
        weights,
        task.reads,
        task.writes,
        tuple(part.output_lines if part else None for part in parts),
        step.predicted_s,
        tuple(filled.get(tensor, 1.0) for tensor in step.inputs),
    )


def _by_others(schedule: Schedule, own: Collection[int]) -> tuple[set[str], set[str]]:
    """Memory that others than tasks of these indices write, and what these write and others read."""
    written, read, by_own = set(schedule.inputs), set(schedule.outputs), set[str]()
    for task in schedule.computing:
        if task.index in own:
            by_own.update(task.writes)
        else:
            written.update(task.writes)
            read.update(task.reads)
    by_others, wanted, by_these = (set(map(schedule.memory_of, names)) for names in (written, read, by_own))
    return by_others, wanted & by_these
