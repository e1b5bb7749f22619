"""Which tasks run in one launch."""

from __future__ import annotations

from collections.abc import Sequence

from codegen.bundle.tasks import Schedule, Task
from codegen.engine import LaunchLimits
from codegen.errors import PlanError
from codegen.target import Target

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


def launches_of(runs: Sequence[Run], target: Target) -> list[Run]:
    """The runs, cut so that each launch has no more layers than it may and is predicted to end within the limit.

    Raises PlanError where a single layer is predicted to take longer.
    """
    return [launch for run in runs for launch in _cut(run, run[0].engine.launch_limits(target))]


def _cut(run: Run, limits: LaunchLimits) -> list[Run]:
    launches: list[list[Task]] = []
    spent_s = 0.0
    for task in run:
        layer_s = task.step.predicted_s
        if layer_s > limits.seconds:
            raise PlanError(
                f"step {task.step.name!r} is predicted to take {layer_s:.3g} s on engine {task.engine.name!r}, "
                f"longer than the {limits.seconds:g} s of a launch; make a new plan by `explore run`, which takes it "
                "to the CPU"
            )
        spent_s += layer_s
        if not launches or spent_s > limits.seconds or len(launches[-1]) == limits.layers:
            launches.append([])
            spent_s = layer_s
        launches[-1].append(task)
    return list(map(tuple, launches))
