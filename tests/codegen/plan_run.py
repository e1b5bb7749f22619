"""Plans by hand with layers in place and launches cut, and their run: QPUs simulated, C steps by the reference."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np

from codegen.algorithm import algorithm_named
from codegen.bundle.memory import Memory
from codegen.bundle.model import Model, compose
from codegen.bundle.step_weights import weights_of_steps
from codegen.bundle.tasks import Task
from codegen.engine_registry import layout_named
from codegen.errors import ScheduleError
from codegen.graph import Graph, LayerSpec
from codegen.plan import Plan, PlanStep
from codegen.program import GpuProgram
from codegen.reference import evaluate_layer
from codegen.schedule import Choice
from codegen.target import Target
from codegen.tensor import FloatArray
from microbench.profile import load_profile
from microbench.virtual import Execution, VirtualV3D
from tests.codegen.planned import PI_ZERO, first_choice, plan_of, qpu_choice, relayout_step, step_of


def choice_of(spec: LayerSpec, algorithm: str, input_layout: str = "") -> Choice:
    """The first point of an algorithm that has a kernel, and reads that layout where one is given."""
    chosen = algorithm_named(algorithm)
    for point in chosen.space(spec, PI_ZERO).points():
        try:
            choice = chosen.choice(spec, PI_ZERO, point)
        except ScheduleError:
            continue
        if input_layout in ("", choice.input_layouts[0]):
            return choice
    raise AssertionError(f"{algorithm} offers no such choice for {spec}")


def layered_plan(
    graph: Graph,
    pick: Mapping[str, str] | None = None,
    in_place: Collection[str] = (),
    starts_launch: Collection[str] = (),
    engine: str = "videocore4",
) -> Plan:
    """A plan with changes of layout where they are needed, right before the step that needs them.

    `pick` names algorithms by node, with an input layout behind a blank; where it is silent, the QPUs compute what
    they can, or C code. Steps named in `in_place` and `starts_launch` have these set.
    """
    steps: list[PlanStep] = []
    layouts = {name: ["nchw"] for name in graph.inputs}

    def bring(tensor: str, layout: str) -> None:
        if layout not in layouts[tensor]:
            steps.append(relayout_step(tensor, graph.types[tensor], layouts[tensor][0], layout))
            layouts[tensor].append(layout)

    for node in graph.nodes:
        spec = LayerSpec.of(graph, node)
        if pick and node.name in pick:
            choice = choice_of(spec, *pick[node.name].split())
        else:
            choice = (qpu_choice(spec) if engine == "videocore4" else None) or first_choice(spec)
        for tensor, layout in zip(node.inputs, choice.input_layouts, strict=True):
            bring(tensor, layout)
        step = step_of(node.name, spec, node.inputs, node.output, choice)
        flags = {"in_place": node.name in in_place, "starts_launch": node.name in starts_launch}
        steps.append(PlanStep.model_validate({**dict(step), **flags}))
        layouts[node.output] = [choice.output_layout]
    for tensor in graph.outputs:
        bring(tensor, "nchw")
    return plan_of(graph, steps)


@dataclass(frozen=True)
class PlanRun:
    """Outputs by name, what each launch was, and the memory it all took."""

    outputs: Mapping[str, FloatArray]
    launches: list[Execution]
    memory: Memory

    @property
    def stale_reads(self) -> int:
        return sum(launch.stale_reads for launch in self.launches)


def run_plan(graph: Graph, plan: Plan, value: FloatArray, runs: int = 2, target: Target = PI_ZERO) -> PlanRun:
    """Runs a plan several times in the same memory, as a bundle does; memory is full of NaN before the first."""
    model = compose(graph, plan, target)
    program = model.image
    with VirtualV3D(load_profile("pi-zero")) as gpu:
        image = gpu.alloc(program.size_bytes if program else 64)
        if program is not None:
            _load(program, image.view, image.bus)
        machine = _Machine(model, weights_of_steps(graph, plan), {"gpu": image.view}, value)
        executions: list[Execution] = []
        for _ in range(runs):
            machine.copy_in()
            for task in model.schedule.computing:
                if not task.is_launched:
                    machine.compute(task)
                elif program is not None:
                    for tasks, launch in zip(model.launches, program.launches, strict=True):
                        if tasks[0] is task:
                            control = image.bus + launch.control_offset_bytes
                            executions.append(gpu.execute(launch.num_qpus, control))
            outputs = machine.outputs(plan)
        return PlanRun(outputs, executions, model.memory)


def _load(program: GpuProgram, view: np.ndarray, bus: int) -> None:
    words = view[: program.words.nbytes].view(np.uint32)
    words[:] = program.words
    words[program.relocations] += np.uint32(bus)


class _Machine:
    """Memories of all kinds, and the CPU's steps on them."""

    def __init__(
        self,
        model: Model,
        weights: list[tuple[FloatArray, ...]],
        spaces: dict[str, np.ndarray],
        value: FloatArray,
    ) -> None:
        self._schedule, self._memory, self._weights = model.schedule, model.memory, weights
        self._value = np.ascontiguousarray(value, np.float32)
        self._spaces = {
            **spaces,
            "arena": np.full(model.memory.arena_bytes, 0xFF, np.uint8),
            "input0": self._value.reshape(-1).view(np.uint8),
            **{
                f"output{i}": np.full(model.schedule.sizes[name], 0xFF, np.uint8)
                for i, name in enumerate(model.schedule.outputs)
            },
        }

    def _bytes(self, name: str) -> np.ndarray:
        place = self._memory.places[name]
        is_array = place.base in ("input", "output")
        space = self._spaces[f"{place.base}{place.offset}" if is_array else place.base]
        start = place.inside_bytes if is_array else place.offset
        return space[start : start + self._schedule.sizes[name]]

    def copy_in(self) -> None:
        name = self._schedule.inputs[0]
        if self._memory.places[name].base == "gpu":
            self._bytes(name)[:] = self._spaces["input0"]

    def compute(self, task: Task) -> None:
        spec, choice = task.step.spec, task.step.choice
        sources = [
            layout_named(layout).unpack(self._bytes(name).copy().view(np.float32), tensor)
            for name, layout, tensor in zip(task.reads, choice.input_layouts, spec.inputs, strict=True)
        ]
        results = evaluate_layer(spec, sources, self._weights[task.index])
        for name, layout, result in zip(task.writes, choice.output_layouts, results, strict=True):
            packed = layout_named(layout).pack(result.astype(np.float32))
            self._bytes(name)[:] = packed.view(np.uint8)

    def outputs(self, plan: Plan) -> dict[str, FloatArray]:
        return {
            tensor.name: self._bytes(name).copy().view(np.float32).reshape(tensor.shape)
            for tensor, name in zip(plan.outputs, self._schedule.outputs, strict=True)
        }
