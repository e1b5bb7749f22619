"""A plan's steps with their views resolved: which memory each one really reads and writes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from codegen.bundle.in_place import Part, parts_of
from codegen.bundle.in_place import can_place as can_place
from codegen.engine import Engine
from codegen.engine_registry import engine_named, layout_named
from codegen.plan import Plan, PlanStep, buffer_name
from codegen.views import is_view as is_view


@dataclass(frozen=True)
class Task:
    """A step and its buffers. A view computes nothing: its output is memory that is written already."""

    index: int
    step: PlanStep
    reads: tuple[str, ...]
    writes: tuple[str, ...]
    is_view: bool

    @property
    def engine(self) -> Engine:
        return engine_named(self.step.choice.engine)

    @property
    def is_launched(self) -> bool:
        return not self.is_view and self.engine.launches


@dataclass(frozen=True)
class Schedule:
    """All tasks in order, the bytes of every buffer, which of them lie in others, and each input's and output's."""

    tasks: tuple[Task, ...]
    sizes: Mapping[str, int]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    parts: Mapping[str, Part]

    @property
    def computing(self) -> tuple[Task, ...]:
        """The tasks that are not views."""
        return tuple(task for task in self.tasks if not task.is_view)

    def memory_of(self, buffer: str) -> str:
        """The buffer itself, or the one that it is a part of."""
        return self.parts[buffer].whole if buffer in self.parts else buffer


def schedule_of(plan: Plan) -> Schedule:
    """Resolves views: a buffer that is one is replaced everywhere by the buffer it shows.

    Raises PlanError where a concatenation cannot be in place.
    """
    parts = parts_of(plan)
    roots: dict[str, str] = {}
    sizes: dict[str, int] = {}
    tasks: list[Task] = []
    inputs = tuple(buffer_name(tensor.name, "nchw") for tensor in plan.inputs)
    for index, step in enumerate(plan.steps):
        for buffer, layout, type_ in zip(
            step.reads, step.choice.input_layouts, step.spec.inputs, strict=True
        ):
            sizes.setdefault(roots.get(buffer, buffer), layout_named(layout).size_bytes(type_))
        reads = tuple(roots.get(buffer, buffer) for buffer in step.reads)
        if step.is_view and not step.in_place:
            roots[step.writes[0]] = reads[0]
        else:
            for buffer, layout, type_ in zip(
                step.writes, step.choice.output_layouts, step.spec.outputs, strict=True
            ):
                sizes[buffer] = layout_named(layout).size_bytes(type_)
        writes = tuple(roots.get(buffer, buffer) for buffer in step.writes)
        tasks.append(Task(index, step, reads, writes, step.is_view))
    outputs = tuple(buffer_name(tensor.name, "nchw") for tensor in plan.outputs)
    return Schedule(tuple(tasks), sizes, inputs, tuple(roots.get(name, name) for name in outputs), parts)
