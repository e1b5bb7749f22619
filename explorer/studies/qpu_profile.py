"""Where the time of a plan's launches goes on the virtual board: layer by layer, and stretch by stretch.

The plan is compiled anew with constants of its own: neither times nor counts depend on values, but on where they lie.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np

from codegen.algorithm import algorithm_named
from codegen.bundle.arrangement import arrange
from codegen.bundle.sections import sections_of
from codegen.bundle.tasks import schedule_of
from codegen.engine_registry import layout_named
from codegen.errors import PlanError
from codegen.plan import Plan, PlanStep
from codegen.program import GpuProgram, Launch
from codegen.schedule import Work
from codegen.target import Target
from microbench.boards.simulated_gpu import load
from microbench.profile import DeviceProfile
from microbench.virtual import Execution, VirtualV3D
from microbench.virtual.bounds import IMBALANCE, Bound, bound_of, memory_bytes
from microbench.virtual.coarse_trace import CoarseTrace, Slice, coarse_trace, waited

INTERVALS = 1 << 24  # of a launch's trace, at most
BARRIER = "barrier"
BARRIER_CYCLES = (
    1000  # of the last layer's end: whoever waits longer at semaphores waits for this layer's slowest
)
LANES, OPERATIONS = 16, 2  # of a QPU's instruction: an addition and a multiplication of each lane


@dataclass(frozen=True)
class LayerProfile:
    """A step in a launch. `bound.shares` of its QPUs' time, of which `barrier` are the barrier itself.

    `moved_bytes` to and from memory; `least_bytes`: what it reads once and what it writes.
    """

    step: PlanStep
    time_s: float
    bound: Bound
    moved_bytes: float
    least_bytes: float
    peak_per_s: float
    bytes_per_s: float

    @property
    def operations(self) -> int:
        """Two for each multiply-accumulate of direct computation."""
        return 2 * self.step.spec.macs

    @property
    def share_of_peak(self) -> float:
        return self.operations / (self.time_s * self.peak_per_s)

    @property
    def arithmetic_s(self) -> float:
        """What its arithmetic takes at peak."""
        return self.operations / self.peak_per_s

    @property
    def memory_s(self) -> float:
        """What the bytes that must move take."""
        return self.least_bytes / self.bytes_per_s

    @property
    def bound_s(self) -> float:
        """The larger of both."""
        return max(self.arithmetic_s, self.memory_s)


@dataclass(frozen=True)
class PlanProfile:
    """All launches of a plan: its layers in turn, and of each launch the seconds and a trace."""

    plan: Plan
    profile: DeviceProfile
    layers: tuple[LayerProfile, ...]
    launches_s: tuple[float, ...]
    traces: tuple[CoarseTrace, ...]

    @property
    def time_s(self) -> float:
        return sum(self.launches_s)


def profile_plan(plan: Plan, profile: DeviceProfile) -> PlanProfile:
    """Simulates the launches of a plan for a virtual board; raises PlanError where the plan has none, or the board no
    QPUs, HazardError where a launch is stopped.
    """
    if not profile.v3d:
        raise PlanError(f"device {profile.name!r} has no QPUs: name the profile of a board that has some")
    if plan.gpu_memory is not None:
        profile = profile.with_gpu_memory(plan.gpu_memory)
    image = _image(plan, profile.target())
    steps = {step.name: step for step in plan.steps}
    layers: list[LayerProfile] = []
    launches_s: list[float] = []
    traces: list[CoarseTrace] = []
    with VirtualV3D(profile) as gpu:
        memory = gpu.alloc(image.size_bytes)
        memory.view[:] = 0
        load(memory, image)
        for launch in image.launches:
            execution = _execute(gpu, memory.bus, launch)
            named = [steps[name] for name in launch.layers]
            layers += _layers(execution, named, profile)
            launches_s.append(execution.time_s)
            ends = [mark["cycles"] for mark in execution.marks]
            slices = [
                Slice(step.name, start, end)
                for step, start, end in zip(named, [0.0, *ends], ends, strict=False)
            ]
            assert execution.trace is not None
            traces.append(coarse_trace(execution.trace.clock_hz, execution.trace.intervals, slices))
    return PlanProfile(plan, profile, tuple(layers), tuple(launches_s), tuple(traces))


def _image(plan: Plan, target: Target) -> GpuProgram:
    # Each layer's differ from all others': equal ones would lie in one place.
    weights = [
        tuple(np.full(tensor.shape, number, np.float32) for tensor in step.spec.weights)
        for number, step in enumerate(plan.steps, 1)
    ]
    image = sections_of(arrange(schedule_of(plan)), weights, target, "profiled").image
    if image is None:
        raise PlanError(
            "the plan has no layer on the QPUs: `explore bench cpu-layers` says where its time goes"
        )
    return image


def _execute(gpu: VirtualV3D, bus: int, launch: Launch) -> Execution:
    mark = launch.barrier_offset_bytes
    assert mark is not None
    return gpu.execute(
        launch.num_qpus,
        bus + launch.control_offset_bytes,
        mark_bus=bus + mark,
        profile=True,
        trace_intervals=INTERVALS,
    )


def _layers(
    execution: Execution, steps: Sequence[PlanStep], profile: DeviceProfile
) -> Iterator[LayerProfile]:
    """Marks tell layers apart; the QPUs' waits at the barrier behind a layer are counted with it."""
    assert execution.trace is not None
    marks = [dict.fromkeys(execution.marks[0], 0.0), *map(dict, execution.marks)]
    ends = [mark["cycles"] for mark in marks]
    barriers = _barriers(execution, ends)
    value = profile.v3d_value
    peak = value("clock_hz") / value("issue_cycles") * profile.target().qpus * LANES * OPERATIONS
    for step, phases in _phases(steps):
        number = phases[0]
        before, after = marks[number], marks[phases[-1] + 1]
        counted = {name: after[name] - before[name] for name in after}
        counted["semaphore_stall_cycles"] -= barriers[number - 1] if number else 0.0
        counted["semaphore_stall_cycles"] = max(0.0, counted["semaphore_stall_cycles"])
        bound = bound_of(counted, profile)
        assert bound is not None
        own = barriers[number - 1] / (counted["cycles"] * profile.target().qpus) if number else 0.0
        shares = {**bound.shares, BARRIER: own, IMBALANCE: max(0.0, bound.shares[IMBALANCE] - own)}
        work = _work(step, profile.target())
        yield LayerProfile(
            step,
            counted["cycles"] / value("clock_hz"),
            Bound(bound.name, shares, bound.at_work),
            memory_bytes(counted),
            work.unique_bytes_read + min(work.bytes_written, _output_bytes(step)),
            peak,
            profile.memory_bytes_per_s,
        )


def _phases(steps: Sequence[PlanStep]) -> Iterator[tuple[PlanStep, Sequence[int]]]:
    """Each step with the numbers of its marks: of several phases, which follow each other, every one has its own."""
    numbered = groupby(enumerate(steps), key=lambda entry: entry[1].name)
    for _, group in numbered:
        marks = list(group)
        yield marks[0][1], [number for number, _ in marks]


def _output_bytes(step: PlanStep) -> float:
    """Of what is written for others: phases write for each other besides."""
    pairs = zip(step.choice.output_layouts, step.spec.outputs, strict=True)
    return float(sum(layout_named(layout).size_bytes(tensor) for layout, tensor in pairs))


def _barriers(execution: Execution, ends: Sequence[float]) -> Sequence[float]:
    """Cycles that the QPUs wait behind each mark until the barrier lets them go on."""
    assert execution.trace is not None
    last = float(execution.cycles)
    found = []
    for start, following in zip(ends[1:], [*ends[2:], last], strict=True):
        edges = np.array([start, min(start + BARRIER_CYCLES, following)])
        found.append(float(waited(execution.trace.intervals, "semaphore", edges)[0]))
    return found


def _work(step: PlanStep, target: Target) -> Work:
    return algorithm_named(step.choice.algorithm).work(step.spec, target, step.choice)


def totals(layers: Sequence[LayerProfile]) -> Mapping[str, float]:
    """Sums over layers: seconds, and bytes."""
    return {
        "time_s": sum(one.time_s for one in layers),
        "arithmetic_s": sum(one.arithmetic_s for one in layers),
        "memory_s": sum(one.memory_s for one in layers),
        "bound_s": sum(one.bound_s for one in layers),
        "moved_bytes": sum(one.moved_bytes for one in layers),
        "least_bytes": sum(one.least_bytes for one in layers),
    }
