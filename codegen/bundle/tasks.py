"""A plan's steps with their views resolved: which memory each one really reads and writes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from codegen.graph import LayerSpec, Reshape
from codegen.layout import layout_named, plane
from codegen.plan import Plan, PlanStep, buffer_name
from codegen.schedule import Choice


@dataclass(frozen=True)
class Task:
    """A step and its buffers. A view computes nothing: its output is the memory of its input."""

    index: int
    step: PlanStep
    reads: tuple[str, ...]
    writes: str
    is_view: bool

    @property
    def is_qpu(self) -> bool:
        return self.step.choice.processor == "qpu"


@dataclass(frozen=True)
class Schedule:
    """All tasks in order, the bytes of every buffer, and which buffer holds each input and output."""

    tasks: tuple[Task, ...]
    sizes: Mapping[str, int]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]

    @property
    def computing(self) -> tuple[Task, ...]:
        """The tasks that are not views."""
        return tuple(task for task in self.tasks if not task.is_view)


def is_view(spec: LayerSpec, choice: Choice) -> bool:
    """Whether a layer's output has, byte for byte, the memory image of its input."""
    if not isinstance(spec.op, Reshape) or choice.input_layouts != (choice.output_layout,):
        return False
    source, result = spec.inputs[0], spec.output
    if choice.output_layout == "nchw":
        return source.elements == result.elements
    return len(source.shape) >= 2 and len(result.shape) >= 2 and plane(source) == plane(result)


def schedule_of(plan: Plan) -> Schedule:
    """Resolves views: a buffer that is one is replaced everywhere by the buffer it shows."""
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
        views = is_view(step.spec, step.choice)
        if views:
            roots[step.writes] = reads[0]
        else:
            sizes[step.writes] = layout_named(step.choice.output_layout).size_bytes(step.spec.output)
        tasks.append(Task(index, step, reads, roots.get(step.writes, step.writes), views))
    outputs = tuple(buffer_name(tensor.name, "nchw") for tensor in plan.outputs)
    return Schedule(tuple(tasks), sizes, inputs, tuple(roots.get(name, name) for name in outputs))
