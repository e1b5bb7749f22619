"""When steps run and where buffers lie, computed once from a schedule for all that makes a bundle or accounts for it.

A buffer lives from the first task that touches it to the last. An input of the network is written before all tasks,
an output is read after them: a run ends when the CPU has copied its outputs, so that nothing outlives it.

The rule of reuse. Within a launch no address of GPU memory belongs to two buffers, because texture units and
uniform streams read through caches that stores go past: a line read before a store to it would be read stale.
So the life of a buffer that a launch touches covers that whole launch (a run of `codegen.bundle.launches`; cuts that
engines make to keep within their limits release nothing, which leaves the plan alone to say what is needed).
Between launches an address may change hands:

- Every launch starts with the caches of the texture units and uniforms, and L2, cleared: whatever an earlier launch
  read of a line is gone, and lines of buffers that a launch does not touch are in no cache of it.
- A launch ends when its stores have ended, and the CPU waits for that: what the CPU writes next is not overtaken.
- The CPU's mapping of GPU memory is uncached, and its writes are drained before a launch (`platform_gpu_execute`).
- Reads ahead of use go past a buffer's end by less than the guard. The guard behind a living buffer belongs to
  nothing that lives with it; what they fetch is never used.
- Nothing relies on what memory holds before it is written: padding lanes and lines keep any value.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from codegen.allocation import Tenant, allocate
from codegen.bundle.launches import Run, runs_of
from codegen.bundle.tasks import Schedule
from codegen.placement import Placement
from codegen.program import Region

Life = tuple[int, int]  # first and last moment; a task's moment is its index, or that of its run's first


@dataclass(frozen=True)
class Arrangement:
    """What a schedule alone decides, whatever code its steps become.

    `runs`: the tasks that may share a launch. `lives`: of every buffer that is no part of another, those of launches
    widened to whole runs. `launched`: the buffers of which launches touch anything, and their parts, in GPU memory.
    """

    schedule: Schedule
    runs: Sequence[Run]
    lives: Mapping[str, Life]
    launched: Placement

    @property
    def launched_wholes(self) -> list[str]:
        """The buffers in GPU memory that are no parts."""
        return [name for name in self.launched.regions if name not in self.schedule.parts]


def arrange(schedule: Schedule) -> Arrangement:
    """The arrangement of a schedule; everything else that asks for one of these facts reads it there."""
    runs = runs_of(schedule)
    lives = _lives(schedule, runs)
    return Arrangement(schedule, runs, lives, _launched(schedule, runs, lives))


def _lives(schedule: Schedule, runs: Sequence[Run]) -> dict[str, Life]:
    starts = {task.index: run[0].index for run in runs for task in run}
    moments: dict[str, list[int]] = {}
    for task in schedule.computing:
        for name in (*task.reads, *task.writes):
            moments.setdefault(schedule.memory_of(name), []).append(starts.get(task.index, task.index))
    for names, moment in ((schedule.inputs, -1), (schedule.outputs, len(schedule.tasks))):
        for name in names:
            moments.setdefault(schedule.memory_of(name), []).append(moment)
    return {name: (min(touched), max(touched)) for name, touched in moments.items()}


def _launched(schedule: Schedule, runs: Sequence[Run], lives: Mapping[str, Life]) -> Placement:
    if not runs:
        return Placement({}, 0)
    space = runs[0][0].engine.memory
    names = (name for run in runs for task in run for name in (*task.reads, *task.writes))
    touched = frozenset(map(schedule.memory_of, names))
    tenants = [Tenant(name, schedule.sizes[name], *life) for name, life in lives.items() if name in touched]
    allocation = allocate(tenants, space.alignment_bytes, space.guard_bytes)
    regions = {t.name: Region(t.name, allocation.offsets[t.name], t.size_bytes) for t in tenants}
    parts = {
        name: Region(name, regions[part.whole].offset_bytes + part.offset_bytes, schedule.sizes[name])
        for name, part in schedule.parts.items()
        if part.whole in regions
    }
    return Placement({**regions, **parts}, allocation.size_bytes)
