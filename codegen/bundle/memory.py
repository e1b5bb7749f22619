"""Where every buffer lies: in the caller's memory, in the handle's arena, or in GPU memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from codegen.bundle.tasks import Schedule
from codegen.cpu.source import round_up
from codegen.program import GpuProgram

LINE_BYTES = 64


@dataclass(frozen=True)
class Place:
    """Start of a buffer: bytes from the base of the arena or of GPU memory, or the index of a caller's array."""

    base: Literal["input", "output", "arena", "gpu"]
    offset: int


@dataclass(frozen=True)
class Memory:
    """Places of all buffers that the CPU touches, and of the workspaces by task."""

    places: Mapping[str, Place]
    workspaces: Mapping[int, Place]
    arena_bytes: int


@dataclass(frozen=True)
class _Tenant:
    """Something that needs bytes of the arena from one task to another, both included."""

    name: str
    size_bytes: int
    first: int
    last: int

    def meets(self, other: _Tenant) -> bool:
        return self.first <= other.last and other.first <= self.last


def plan_memory(schedule: Schedule, gpu: GpuProgram | None, workspaces: Mapping[int, int]) -> Memory:
    """Outputs are written where the caller wants them, GPU buffers stay in the GPU's memory, the rest shares an
    arena: largest first, each at the lowest offset that is free during its whole life.
    """
    places = _places_outside_arena(schedule, gpu)
    tenants = _tenants(schedule, places, workspaces)
    offsets, arena_bytes = _first_fit(tenants)
    places.update((name, Place("arena", offset)) for name, offset in offsets.items() if "@" in name)
    return Memory(
        places=places,
        workspaces={
            task: Place("arena", offsets[_workspace(task)]) for task, size in workspaces.items() if size
        },
        arena_bytes=arena_bytes,
    )


def _places_outside_arena(schedule: Schedule, gpu: GpuProgram | None) -> dict[str, Place]:
    places = {name: Place("input", index) for index, name in enumerate(schedule.inputs)}
    for index, name in enumerate(schedule.outputs):
        places.setdefault(name, Place("output", index))
    if gpu is not None:
        regions = (*gpu.inputs, *gpu.outputs)
        places.update((region.name, Place("gpu", region.offset_bytes)) for region in regions)
    return places


def _tenants(schedule: Schedule, places: Mapping[str, Place], workspaces: Mapping[int, int]) -> list[_Tenant]:
    cpu_tasks = [task for task in schedule.computing if not task.is_qpu]
    tenants = [
        _Tenant(_workspace(task), size, task, task) for task, size in sorted(workspaces.items()) if size
    ]
    for task in cpu_tasks:
        if task.writes in places:
            continue
        last = max([task.index, *(other.index for other in cpu_tasks if task.writes in other.reads)])
        tenants.append(_Tenant(task.writes, schedule.sizes[task.writes], task.index, last))
    return tenants


def _first_fit(tenants: list[_Tenant]) -> tuple[dict[str, int], int]:
    placed: list[tuple[int, _Tenant]] = []
    for tenant in sorted(tenants, key=lambda t: (-t.size_bytes, t.first, t.name)):
        offset = 0
        for start, other in sorted(placed, key=lambda item: item[0]):
            if not tenant.meets(other):
                continue
            if offset + tenant.size_bytes <= start:
                break
            offset = max(offset, round_up(start + other.size_bytes, LINE_BYTES))
        placed.append((offset, tenant))
    end = max((offset + tenant.size_bytes for offset, tenant in placed), default=0)
    return {tenant.name: offset for offset, tenant in placed}, round_up(end, LINE_BYTES)


def _workspace(task: int) -> str:
    """No buffer has this name: theirs have a layout behind an @."""
    return f"workspace {task}"
