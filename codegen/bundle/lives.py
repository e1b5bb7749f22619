"""How long buffers are needed, and where those that the QPUs touch lie in GPU memory.

A buffer lives from the first task that touches it to the last. An input of the network is written before all tasks,
an output is read after them: a run ends when the CPU has copied its outputs, so that nothing outlives it.

The rule of reuse. Within a launch no address of GPU memory belongs to two buffers, because texture units and
uniform streams read through caches that stores go past: a line read before a store to it would be read stale.
So the life of a buffer that a launch touches covers that whole launch (a run of `codegen.bundle.launches`; cuts made
only to keep within the board's time limit release nothing, which leaves the plan alone to say what is needed).
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

from collections.abc import Mapping

from codegen.allocation import Tenant, allocate
from codegen.bundle.launches import runs_of
from codegen.bundle.tasks import Schedule
from codegen.engines.videocore4.link import Activations
from codegen.memory_space import GPU
from codegen.program import Region

Life = tuple[int, int]  # first and last moment; a task's moment is its index, or that of its run's first


def lives_of(schedule: Schedule) -> dict[str, Life]:
    """The life of every buffer that is no part of another, those of launches widened to whole launches."""
    starts = {task.index: run[0].index for run in runs_of(schedule) for task in run}
    moments: dict[str, list[int]] = {}
    for task in schedule.computing:
        for name in (*task.reads, *task.writes):
            moments.setdefault(schedule.memory_of(name), []).append(starts.get(task.index, task.index))
    for names, moment in ((schedule.inputs, -1), (schedule.outputs, len(schedule.tasks))):
        for name in names:
            moments.setdefault(schedule.memory_of(name), []).append(moment)
    return {name: (min(touched), max(touched)) for name, touched in moments.items()}


def gpu_buffers(schedule: Schedule) -> frozenset[str]:
    """The buffers, none part of another, of which the QPUs touch anything."""
    names = (name for task in schedule.computing if task.is_qpu for name in (*task.reads, *task.writes))
    return frozenset(map(schedule.memory_of, names))


def gpu_activations(schedule: Schedule) -> Activations:
    """Places of all buffers in GPU memory and of their parts."""
    touched = gpu_buffers(schedule)
    tenants = [
        Tenant(name, schedule.sizes[name], *life)
        for name, life in lives_of(schedule).items()
        if name in touched
    ]
    allocation = allocate(tenants, GPU.alignment_bytes, GPU.guard_bytes)
    regions = {t.name: Region(t.name, allocation.offsets[t.name], t.size_bytes) for t in tenants}
    return Activations({**regions, **_parts(schedule, regions)}, allocation.size_bytes)


def _parts(schedule: Schedule, wholes: Mapping[str, Region]) -> dict[str, Region]:
    return {
        name: Region(name, wholes[part.whole].offset_bytes + part.offset_bytes, schedule.sizes[name])
        for name, part in schedule.parts.items()
        if part.whole in wholes
    }
