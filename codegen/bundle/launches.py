"""Which tasks may share a launch."""

from __future__ import annotations

from codegen.bundle.tasks import Schedule, Task

Run = tuple[Task, ...]


def runs_of(schedule: Schedule) -> list[Run]:
    """Tasks that the plan lets run in one launch.

    A run ends at a task of another engine, at a task that `starts_launch`, and before a read that could be stale: of
    memory stored to in the run after it was read there. Only parts of one buffer (`codegen.bundle.in_place`) can
    meet like that, for a line, or a read ahead, may reach from one part into the next.
    """
    runs: list[list[Task]] = []
    running = ""
    read: set[str] = set()
    stale: set[str] = set()
    for task in schedule.computing:
        if not task.is_launched:
            running = ""
            continue
        reads = {schedule.memory_of(name) for name in task.reads}
        if task.engine.name != running or task.step.starts_launch or reads & stale:
            runs.append([])
            running, read, stale = task.engine.name, set(), set()
        runs[-1].append(task)
        read |= reads
        stale |= read & {schedule.memory_of(name) for name in task.writes}
    return list(map(tuple, runs))
