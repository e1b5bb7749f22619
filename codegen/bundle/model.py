"""A plan composed: what the files of a bundle are made from, computed once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from codegen.algorithm import algorithm_named
from codegen.bundle.arrangement import Arrangement, arrange
from codegen.bundle.memory import Memory, plan_memory
from codegen.bundle.names import model_identifier
from codegen.bundle.sections import Sections, sections_of
from codegen.bundle.step_weights import weights_of_steps
from codegen.bundle.tasks import Schedule, Task, schedule_of
from codegen.errors import PlanError
from codegen.graph import Graph
from codegen.memory_space import GPU
from codegen.plan import Plan, plan_hash
from codegen.program import GpuProgram
from codegen.target import GpuMemory, Target


@dataclass(frozen=True, eq=False)
class Model:
    """When steps run, what they became, and where everything lies; `identifier` begins every name of its C text.

    `launches`: for each mark of each launch the task that it is of.
    """

    identifier: str
    plan: Plan
    arrangement: Arrangement
    launches: Sequence[Sequence[Task]]
    sections: Sections
    memory: Memory

    @cached_property
    def plan_id(self) -> bytes:
        """What tells files of different plans apart."""
        return bytes.fromhex(plan_hash(self.plan))[:8]

    def with_gpu_memory(self, way: GpuMemory) -> Model:
        """The same model with its GPU memory allocated so."""
        return replace(self, plan=self.plan.model_copy(update={"gpu_memory": way}))

    @property
    def schedule(self) -> Schedule:
        return self.arrangement.schedule

    @property
    def image(self) -> GpuProgram | None:
        return self.sections.image


def compose(graph: Graph, plan: Plan, target: Target) -> Model:
    """The model of a plan; `graph` is the fused graph the plan was made for.

    Raises PlanError where the plan does not fit the graph or the board, LinkError where its image does not fit
    the GPU's memory.
    """
    weights = weights_of_steps(graph, plan)
    arrangement = arrange(schedule_of(plan))
    _check_engines(arrangement, target)
    identifier = model_identifier(plan.model_name)
    sections = sections_of(arrangement, weights, target, identifier)
    start = sections.image.size_bytes - arrangement.launched.size_bytes if sections.image else 0
    memory = plan_memory(arrangement, sections.workspaces, start)
    return Model(identifier, plan, arrangement, _launches(arrangement, sections), sections, memory)


def _launches(arrangement: Arrangement, sections: Sections) -> list[list[Task]]:
    if sections.image is None:
        return []
    tasks = {task.step.name: task for task in arrangement.schedule.computing}
    return [[tasks[name] for name in launch.layers] for launch in sections.image.launches]


def _check_engines(arrangement: Arrangement, target: Target) -> None:
    """Raises PlanError where an engine is not there, does not know an algorithm, or does not reach a memory."""
    schedule = arrangement.schedule
    for task in schedule.tasks:
        name, engine = task.step.name, task.engine
        if not engine.is_on(target):
            raise PlanError(
                f"step {name!r} is for engine {engine.name!r}, which device {target.name!r} does not have; compile "
                f"the plan for the device that it was made for, or make one for {target.name!r}"
            )
        if task.is_view:
            continue
        if not engine.owns(algorithm_named(task.step.choice.algorithm)):
            raise PlanError(
                f"step {name!r}: algorithm {task.step.choice.algorithm!r} does not run on engine {engine.name!r}; "
                "make a new plan by `explore run`"
            )
        for buffers, reached, does in (
            (task.reads, engine.reads, "read"),
            (task.writes, engine.writes, "write"),
        ):
            touched = [buffer for buffer in buffers if buffer in arrangement.launched.regions]
            if touched and GPU not in reached:
                raise PlanError(
                    f"step {name!r}: engine {engine.name!r} cannot {does} {touched[0]!r}, which lies in GPU memory; "
                    "make a new plan by `explore run`"
                )
