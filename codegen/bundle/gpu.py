"""The GPU's share of a plan: consecutive QPU steps become launches of one image; its file format."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence

import numpy as np

from codegen.algorithm import QpuAlgorithm, algorithm_named
from codegen.bundle.tasks import Schedule, Task
from codegen.errors import PlanError
from codegen.graph import FloatArray
from codegen.program import GpuProgram
from codegen.qpu.link import LinkedLayer, link
from codegen.target import Target

MAGIC = b"EXPLQPU1"
VERSION = 1
NO_MARK = 0xFFFFFFFF


def launches_of(schedule: Schedule, limit_s: float) -> list[list[Task]]:
    """Runs of QPU tasks without a CPU task between them, cut so that each is predicted to end within the limit."""
    launches: list[list[Task]] = []
    is_open, spent_s = False, 0.0
    for task in schedule.computing:
        if not task.is_qpu:
            is_open = False
            continue
        spent_s += task.step.predicted_s
        if not is_open or spent_s > limit_s:
            launches.append([])
            is_open, spent_s = True, task.step.predicted_s
        launches[-1].append(task)
    return launches


def link_tasks(
    schedule: Schedule, launches: list[list[Task]], target: Target, weights: Sequence[Sequence[FloatArray]]
) -> GpuProgram:
    """All launches in one image; `weights` are those of every task. Raises LinkError where they do not fit."""
    chained = [[_lowered(task, target, weights[task.index]) for task in tasks] for tasks in launches]
    return link(
        chained,
        {name: schedule.sizes[name] for name in _gpu_buffers(launches)},
        _written_by_cpu(launches),
        _read_by_cpu(schedule, launches),
        target.qpus,
        target.gpu_memory_bytes,
    )


def image_file(program: GpuProgram, plan_id: bytes) -> bytes:
    """model.qpu, as codegen/cpu/runtime/bundle.c describes it."""
    relocations = np.asarray(program.relocations, dtype="<u4").tobytes()
    launches = b"".join(
        struct.pack(
            "<4I",
            launch.control_offset_bytes,
            launch.num_qpus,
            NO_MARK if launch.barrier_offset_bytes is None else launch.barrier_offset_bytes,
            len(launch.layers),
        )
        for launch in program.launches
    )
    words = np.asarray(program.words[: program.weights_offset_bytes // 4], dtype="<u4").tobytes()
    body = relocations + launches + words
    header = struct.pack(
        "<8s6I8s2I",
        MAGIC,
        VERSION,
        program.size_bytes,
        program.weights_offset_bytes,
        len(program.relocations),
        len(words) // 4,
        len(program.launches),
        plan_id,
        zlib.crc32(body),
        0,
    )
    return header + body


def weight_words(program: GpuProgram) -> bytes:
    """The part of the image that depends on the weights: what lies above `weights_offset_bytes`."""
    return np.asarray(program.words[program.weights_offset_bytes // 4 :], dtype="<u4").tobytes()


def _lowered(task: Task, target: Target, weights: Sequence[FloatArray]) -> LinkedLayer:
    step = task.step
    algorithm = algorithm_named(step.choice.algorithm)
    if not isinstance(algorithm, QpuAlgorithm):
        raise PlanError(
            f"step {step.name!r}: algorithm {step.choice.algorithm!r} does not run on the QPUs; make a new plan"
        )
    layer = algorithm.lower(step.spec, target, step.choice, weights)
    return LinkedLayer(step.name, layer, task.reads, task.writes)


def _gpu_buffers(launches: list[list[Task]]) -> list[str]:
    names = (name for tasks in launches for task in tasks for name in (*task.reads, task.writes))
    return list(dict.fromkeys(names))


def _written_by_qpus(launches: list[list[Task]]) -> set[str]:
    return {task.writes for tasks in launches for task in tasks}


def _written_by_cpu(launches: list[list[Task]]) -> list[str]:
    written = _written_by_qpus(launches)
    return [name for name in _gpu_buffers(launches) if name not in written]


def _read_by_cpu(schedule: Schedule, launches: list[list[Task]]) -> list[str]:
    cpu_reads = {name for task in schedule.computing if not task.is_qpu for name in task.reads}
    wanted = cpu_reads | set(schedule.outputs)
    written = _written_by_qpus(launches)
    return [name for name in _gpu_buffers(launches) if name in written and name in wanted]
