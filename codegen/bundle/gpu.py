"""The GPU's share of a plan: the launches become one image; its file format."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence

import numpy as np

from codegen.algorithm import algorithm_named
from codegen.bundle.tasks import Schedule, Task
from codegen.engines.videocore4.algorithm import QpuAlgorithm
from codegen.engines.videocore4.link import Activations, LinkedLayer, link
from codegen.errors import PlanError
from codegen.program import WORD_BYTES, GpuProgram
from codegen.target import Target
from codegen.tensor import FloatArray

MAGIC = b"EXPLQPU1"
VERSION = 1
NO_MARK = 0xFFFFFFFF


def link_tasks(
    schedule: Schedule,
    launches: Sequence[Sequence[Task]],
    activations: Activations,
    target: Target,
    weights: Sequence[Sequence[FloatArray]],
) -> GpuProgram:
    """All launches in one image; `weights` are those of every task. Raises LinkError where they do not fit."""
    chained = [
        [_lowered(task, schedule, target, weights[task.index]) for task in tasks] for tasks in launches
    ]
    shared = [name for name in activations.regions if name not in schedule.parts]
    written, read = _shared_with_cpu(schedule)
    return link(
        chained,
        activations,
        [name for name in shared if name in written],
        [name for name in shared if name in read],
        target.qpus,
        target.gpu_memory_bytes,
    )


def image_file(program: GpuProgram, plan_id: bytes) -> bytes:
    """model.qpu, as codegen/engines/cpu/runtime/bundle_gpu.c describes it."""
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
    words = np.asarray(program.words[: program.weights_offset_bytes // WORD_BYTES], dtype="<u4").tobytes()
    body = relocations + launches + words
    header = struct.pack(
        "<8s6I8s2I",
        MAGIC,
        VERSION,
        program.size_bytes,
        program.weights_offset_bytes,
        len(program.relocations),
        len(words) // WORD_BYTES,
        len(program.launches),
        plan_id,
        zlib.crc32(body),
        0,
    )
    return header + body


def weight_words(program: GpuProgram) -> bytes:
    """The part of the image that depends on the weights: what lies above `weights_offset_bytes`."""
    return np.asarray(program.words[program.weights_offset_bytes // WORD_BYTES :], dtype="<u4").tobytes()


def _lowered(task: Task, schedule: Schedule, target: Target, weights: Sequence[FloatArray]) -> LinkedLayer:
    step = task.step
    algorithm = algorithm_named(step.choice.algorithm)
    if not isinstance(algorithm, QpuAlgorithm):
        raise PlanError(
            f"step {step.name!r}: algorithm {step.choice.algorithm!r} does not run on the QPUs; make a new plan"
        )
    part = schedule.parts.get(task.writes[0]) if len(task.writes) == 1 else None
    layer = algorithm.lower(
        step.spec, target, step.choice, weights, output_lines=part.output_lines if part else None
    )
    return LinkedLayer(step.name, layer, task.reads, task.writes)


def _shared_with_cpu(schedule: Schedule) -> tuple[set[str], set[str]]:
    """Buffers that the CPU writes, and those that the QPUs write and the CPU reads."""
    written, read, by_qpus = set(schedule.inputs), set(schedule.outputs), set[str]()
    for task in schedule.computing:
        if task.is_qpu:
            by_qpus.update(task.writes)
        else:
            written.update(task.writes)
            read.update(task.reads)
    of_cpu, wanted, of_qpus = (set(map(schedule.memory_of, names)) for names in (written, read, by_qpus))
    return of_cpu, wanted & of_qpus
