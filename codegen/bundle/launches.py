"""Which tasks run in one launch of the QPUs."""

from __future__ import annotations

from collections.abc import Sequence

from codegen.bundle.tasks import Schedule, Task
from codegen.engine import LaunchLimits
from codegen.engine_registry import engine_named
from codegen.errors import PlanError
from codegen.target import Target


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


def launches_of(schedule: Schedule, target: Target) -> list[list[Task]]:
    """The runs, cut so that each launch has no more layers than it may and is predicted to end within the limit.

    Raises PlanError where a single layer is predicted to take longer.
    """
    return [
        launch
        for run in runs_of(schedule)
        for launch in _cut(run, engine_named(run[0].step.choice.engine).launch_limits(target))
    ]


def _cut(run: Sequence[Task], limits: LaunchLimits) -> list[list[Task]]:
    launches: list[list[Task]] = []
    spent_s = 0.0
    for task in run:
        layer_s = task.step.predicted_s
        if layer_s > limits.seconds:
            raise PlanError(
                f"step {task.step.name!r} is predicted to take {layer_s:.3g} s on engine "
                f"{task.step.choice.engine!r}, longer than the {limits.seconds:g} s of a launch; make a new plan by "
                "`explore run`, which takes it to the CPU"
            )
        spent_s += layer_s
        if not launches or spent_s > limits.seconds or len(launches[-1]) == limits.layers:
            launches.append([])
            spent_s = layer_s
        launches[-1].append(task)
    return launches
