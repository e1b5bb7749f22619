"""Which tasks run in one launch of the QPUs."""

from __future__ import annotations

from collections.abc import Sequence

from codegen.bundle.tasks import Schedule, Task


def runs_of(schedule: Schedule) -> list[list[Task]]:
    """QPU tasks that the plan lets run in one launch.

    A run ends at a task of the CPU, at a task that `starts_launch`, and before a read that could be stale: of
    memory stored to in the run after it was read there. Only parts of one buffer (`codegen.bundle.in_place`) can
    meet like that, for a line, or a read ahead, may reach from one part into the next.
    """
    runs: list[list[Task]] = []
    is_open = False
    read: set[str] = set()
    stale: set[str] = set()
    for task in schedule.computing:
        if not task.is_qpu:
            is_open = False
            continue
        reads = {schedule.memory_of(name) for name in task.reads}
        if not is_open or task.step.starts_launch or reads & stale:
            runs.append([])
            is_open, read, stale = True, set(), set()
        runs[-1].append(task)
        read |= reads
        stale |= read & {schedule.memory_of(name) for name in task.writes}
    return runs


def launches_of(schedule: Schedule, limit_s: float) -> list[list[Task]]:
    """The runs, cut so that each launch is predicted to end within the limit."""
    return [launch for run in runs_of(schedule) for launch in _cut(run, limit_s)]


def _cut(run: Sequence[Task], limit_s: float) -> list[list[Task]]:
    launches: list[list[Task]] = []
    spent_s = 0.0
    for task in run:
        spent_s += task.step.predicted_s
        if not launches or spent_s > limit_s:
            launches.append([])
            spent_s = task.step.predicted_s
        launches[-1].append(task)
    return launches
