"""How full the inner loops of plans' kernels are: of each algorithm the kernel that takes longest."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from codegen.algorithm import algorithm_named
from codegen.engines.videocore4.algorithm import QpuAlgorithm
from codegen.engines.videocore4.isa import decode
from codegen.engines.videocore4.layer import QpuLayer
from codegen.engines.videocore4.slots import Loop, loops
from codegen.plan import PlanStep
from codegen.target import Target
from explorer.studies.qpu_profile import PlanProfile
from explorer.studies.study_table import LEFT, RIGHT, StudyTable

_COLUMNS = (
    ("algorithm", LEFT),
    ("layer", LEFT),
    ("phase", RIGHT),
    ("instructions", RIGHT),
    ("fewest", RIGHT),
    ("slots used", RIGHT),
    ("share", RIGHT),
)


@dataclass(frozen=True)
class KernelLoop:
    """An inner loop of a step's kernel, of the phase of that number."""

    step: PlanStep
    phase: int
    loop: Loop


def kernel_loops(found: Sequence[PlanProfile]) -> Iterator[KernelLoop]:
    """Algorithms by name, of each the inner loops of the kernel of its longest layer."""
    longest: dict[str, tuple[float, PlanStep, Target]] = {}
    for one in found:
        for layer in one.layers:
            name = layer.step.choice.algorithm
            if name not in longest or layer.time_s > longest[name][0]:
                longest[name] = layer.time_s, layer.step, one.profile.target()
    for _, (_, step, target) in sorted(longest.items()):
        for phase, code in enumerate(_codes(step, target), 1):
            for loop in loops([decode(word) for word in code]):
                if loop.inner:
                    yield KernelLoop(step, phase, loop)


def loop_table(found: Sequence[PlanProfile]) -> StudyTable:
    """One row for each inner loop."""
    rows = tuple(
        (
            one.step.choice.algorithm,
            one.step.spec.describe(),
            str(one.phase),
            str(one.loop.instructions),
            str(one.loop.bound),
            f"{one.loop.used} of {one.loop.slots}",
            f"{100 * one.loop.share:.0f} %",
        )
        for one in kernel_loops(found)
    )
    notes = (
        "Of every algorithm the kernel of its longest layer. An instruction has room for an addition and a "
        "multiplication; fewest: the instructions that a loop's operations and its branch need, however they pair.",
    )
    return StudyTable("Inner loops of the kernels", _COLUMNS, rows, notes, ("phase", "layer"))


def _codes(step: PlanStep, target: Target) -> Iterator[tuple[int, ...]]:
    """The kernel's code, of each of its phases; it does not depend on the weights."""
    algorithm = algorithm_named(step.choice.algorithm)
    assert isinstance(algorithm, QpuAlgorithm)
    weights = [np.zeros(tensor.shape, np.float32) for tensor in step.spec.weights]
    layer: QpuLayer | None = algorithm.lower(step.spec, target, step.choice, weights)
    while layer is not None:
        yield layer.code
        layer = layer.then
