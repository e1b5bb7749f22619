"""What of a plan is called: kernels in C, of whichever engines print it, equal ones once, and their packed weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from codegen.algorithm import algorithm_named
from codegen.bundle.names import c_identifier
from codegen.bundle.tasks import Schedule, Task
from codegen.engine_registry import engine_named
from codegen.engines.cpu.source import round_up
from codegen.errors import PlanError
from codegen.program import CpuProgram
from codegen.target import Target
from codegen.tensor import FloatArray

LINE_BYTES = 64


@dataclass
class Kernels:
    """C text by function name; program and offset of its weights by task."""

    sources: dict[str, str] = field(default_factory=dict)
    programs: dict[int, CpuProgram] = field(default_factory=dict)
    weight_offsets: dict[int, int] = field(default_factory=dict)
    weights_bytes: int = 0

    @property
    def threads(self) -> int:
        """The most that a kernel is split over: the size of the pool that a handle needs, 1 for none."""
        return max((program.threads for program in self.programs.values()), default=1)

    def packed_weights(self) -> bytes:
        """All weights, each kernel's at a multiple of 64 bytes."""
        memory = bytearray(self.weights_bytes)
        for task, offset in self.weight_offsets.items():
            data = np.asarray(self.programs[task].weights, dtype="<f4").tobytes()
            memory[offset : offset + len(data)] = data
        return bytes(memory)


def emit_kernels(
    schedule: Schedule, target: Target, weights: Sequence[Sequence[FloatArray]], prefix: str
) -> Kernels:
    """Emits every task that is no GPU program; layers that are equal but for their weights share a function."""
    kernels = Kernels()
    for task in schedule.computing:
        if task.is_qpu:
            continue
        program = _emitted(task, target, weights[task.index], kernels, prefix)
        kernels.sources[program.entry] = program.source
        kernels.programs[task.index] = program
        kernels.weight_offsets[task.index] = kernels.weights_bytes
        kernels.weights_bytes += round_up(program.weights.nbytes, LINE_BYTES)
    return kernels


def _emitted(
    task: Task, target: Target, weights: Sequence[FloatArray], kernels: Kernels, prefix: str
) -> CpuProgram:
    step = task.step
    algorithm, engine = algorithm_named(step.choice.algorithm), engine_named(step.choice.engine)
    if not engine.owns(algorithm):
        raise PlanError(
            f"step {step.name!r}: algorithm {step.choice.algorithm!r} does not run on engine {engine.name!r}; "
            "make a new plan"
        )

    def printed(entry: str) -> CpuProgram:
        program = engine.program(algorithm, step.candidate, target, weights, entry)
        assert isinstance(program, CpuProgram), f"{engine.name} says that it makes C"
        return program

    entry = f"{prefix}_{c_identifier(step.choice.algorithm)}_{step.candidate.hash[:12]}"
    program = printed(entry)
    if kernels.sources.get(entry, program.source) != program.source:  # text that depends on the weights
        program = printed(f"{entry}_{task.index}")
    return program
