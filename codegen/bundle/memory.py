"""Where every buffer lies: in the caller's memory, in the handle's arena, or in GPU memory; and how much they take."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from codegen.allocation import Allocation, Tenant, allocate
from codegen.bundle.arrangement import Arrangement, arrange
from codegen.bundle.tasks import Schedule, schedule_of
from codegen.errors import PlanError
from codegen.memory_space import HOST_MEMORY
from codegen.plan import Plan


@dataclass(frozen=True)
class Place:
    """Start of a buffer: bytes from the base of the arena or of GPU memory, or the index of a caller's array and
    the bytes from that array's start.
    """

    base: Literal["input", "output", "arena", "gpu"]
    offset: int
    inside_bytes: int = 0

    def moved(self, by_bytes: int) -> Place:
        """A place so many bytes further on."""
        if self.base in ("input", "output"):
            return replace(self, inside_bytes=self.inside_bytes + by_bytes)
        return replace(self, offset=self.offset + by_bytes)


@dataclass(frozen=True)
class Memory:
    """Places of all buffers, and of the workspaces by task; bytes of the arena and of activations on the GPU."""

    places: Mapping[str, Place]
    workspaces: Mapping[int, Place]
    arena_bytes: int
    gpu_bytes: int


@dataclass(frozen=True)
class MemoryUse:
    """What a bundle allocates for activations and workspaces; arrays of the caller are not counted.

    `gpu_bytes`: buffers in GPU memory with their guards. `arena_bytes`: the CPU's arena.
    """

    gpu_bytes: int
    arena_bytes: int

    @property
    def total_bytes(self) -> int:
        return self.gpu_bytes + self.arena_bytes


def memory_use(plan: Plan, workspaces: Mapping[str, int]) -> MemoryUse:
    """Exactly what the bundle of a plan allocates; `workspaces` gives the bytes of CPU steps by name.

    Steps that are not named have none. Raises PlanError for names of no step, and where a step cannot be in place.
    """
    indices = {step.name: index for index, step in enumerate(plan.steps)}
    unknown = [name for name in workspaces if name not in indices]
    if unknown:
        raise PlanError(f"a workspace is given for step {unknown[0]!r}, which the plan does not have")
    arrangement = arrange(schedule_of(plan))
    sizes = {indices[name]: size for name, size in workspaces.items()}
    return MemoryUse(arrangement.launched.size_bytes, _arena(arrangement, sizes).size_bytes)


def plan_memory(arrangement: Arrangement, workspaces: Mapping[int, int], gpu_start_bytes: int) -> Memory:
    """Outputs are written where the caller wants them, what launches touch lies in GPU memory, `gpu_start_bytes`
    from its start, the rest shares an arena. `workspaces` gives bytes by task.
    """
    schedule, launched, arena = arrangement.schedule, arrangement.launched, _arena(arrangement, workspaces)
    places = _of_caller(schedule)
    places.update((name, Place("arena", offset)) for name, offset in arena.offsets.items() if "@" in name)
    regions = launched.behind(gpu_start_bytes)
    places.update((name, Place("gpu", region.offset_bytes)) for name, region in regions.items())
    for name, part in schedule.parts.items():
        places[name] = places[part.whole].moved(part.offset_bytes)
    return Memory(
        places=places,
        workspaces={
            task: Place("arena", arena.offsets[_workspace(task)]) for task, size in workspaces.items() if size
        },
        arena_bytes=arena.size_bytes,
        gpu_bytes=launched.size_bytes,
    )


def _of_caller(schedule: Schedule) -> dict[str, Place]:
    """Inputs and outputs where nothing else claims them; an output that is a part of something is copied there."""
    places = {name: Place("input", index) for index, name in enumerate(schedule.inputs)}
    for index, name in enumerate(schedule.outputs):
        if name not in schedule.parts:
            places.setdefault(name, Place("output", index))
    return places


def _arena(arrangement: Arrangement, workspaces: Mapping[int, int]) -> Allocation:
    schedule = arrangement.schedule
    elsewhere = {*_of_caller(schedule), *arrangement.launched.regions}
    tenants = [
        Tenant(_workspace(task), size, task, task) for task, size in sorted(workspaces.items()) if size
    ]
    tenants += [
        Tenant(name, schedule.sizes[name], *life)
        for name, life in arrangement.lives.items()
        if name not in elsewhere
    ]
    return allocate(tenants, HOST_MEMORY.alignment_bytes)


def _workspace(task: int) -> str:
    """No buffer has this name: theirs have a layout behind an @."""
    return f"workspace {task}"
