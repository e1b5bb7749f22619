"""Times a C layer on a CPU: the kernel and the harness measure.c, compiled together and run by an executor."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np

from codegen.bundle.entries import separate_kernel
from codegen.bundle.pool import pool_files, pool_flags
from codegen.element_type import FLOAT32
from codegen.engines.cpu.toolchain import (
    KERNEL_FLAGS,
    compile_executable,
    compile_object,
    compile_relocatable,
    link_executable,
    runtime_source,
    takes_objects,
)
from codegen.errors import ToolchainError
from codegen.graph import LayerSpec
from codegen.program import WORD_BYTES, CpuProgram
from codegen.target import Target
from codegen.tensor import Array, FloatArray, TensorType
from microbench.board import Job
from microbench.boards.execution import Executor
from microbench.errors import CandidateError
from microbench.protocol import STANDARD, Timing

CANDIDATE_LIMIT_S = 60.0
DATA, RESULT = "data.bin", "result.bin"


def time_kernel(
    job: Job,
    program: CpuProgram,
    target: Target,
    executor: Executor,
    timing: Timing = STANDARD,
    limit_s: float = CANDIDATE_LIMIT_S,
) -> tuple[FloatArray, tuple[float, ...]]:
    """Output images, each in whole words behind the other, and the time of each repeat in seconds.

    Raises CandidateError where the kernel is refused by the compiler, crashes, hangs or ends early.
    """
    place = f"candidate {job.candidate.hash[:12]} ({job.candidate.choice.algorithm})"
    try:
        executable = compile_kernel(program, target, job.candidate.spec, timing.modelled)
    except ToolchainError as error:
        raise CandidateError(f"{place}: {error}") from error
    images = map(_in_words, (*job.inputs, program.weights))
    data = b"".join((_header(program, job.candidate.spec), *images))
    spans_s = (f"{timing.warm_up_s:g}", f"{timing.minimum_total_s:g}")
    arguments = (DATA, RESULT, str(job.repeats), *spans_s)
    finished = executor.execute(executable, arguments, {DATA: data}, (RESULT,), limit_s)
    if not finished.ended.is_good:
        raise CandidateError(f"{place}: the program {finished.ended.complaint}")
    return _parsed(finished.outputs.get(RESULT, b""), job, program, place)


def compile_kernel(
    program: CpuProgram, target: Target, spec: LayerSpec, modelled: bool = STANDARD.modelled
) -> Path:
    """The executable that times a layer's kernel, from the cache if it was compiled before; raises ToolchainError.

    `modelled`: by a modelled clock, as in `Timing`.
    """
    flags = (*KERNEL_FLAGS, *pool_flags(pool_files(program.threads)))
    harness = _harness(target, flags, is_threaded=program.threads > 1, modelled=modelled)
    kernel = separate_kernel(program.entry, program.source)
    if takes_objects(target):
        return link_executable(
            (compile_object({"kernel.c": kernel}, target, KERNEL_FLAGS), harness), target, flags
        )
    return compile_executable({"kernel.c": kernel}, target, flags, (str(harness),))


@cache
def _harness(target: Target, flags: tuple[str, ...], *, is_threaded: bool, modelled: bool) -> Path:
    """The object file that every kernel is linked with: it is compiled once."""
    choices = (f"-DMEASURE_THREADED={int(is_threaded)}", f"-DMEASURE_MODELLED={int(modelled)}")
    sources = {"measure.c": runtime_source("measure.c"), **pool_files(2 if is_threaded else 1)}
    return compile_relocatable(sources, target, (*flags, *choices))


def _header(program: CpuProgram, spec: LayerSpec) -> bytes:
    """What the harness must know of a kernel, at the beginning of its data."""
    inputs, outputs = _words(program.input_sizes, spec.inputs), _words(program.output_sizes, spec.outputs)
    counts = (program.threads, len(inputs), len(outputs), program.weights.size, program.workspace_bytes)
    return np.array([*counts, *inputs, *outputs], dtype="<u8").tobytes()


def _words(sizes: Sequence[int], types: Sequence[TensorType]) -> list[int]:
    """Words that images of so many elements take, each begun anew."""
    return [
        -(-size * type_.element_type.size_bytes // WORD_BYTES)
        for size, type_ in zip(sizes, types, strict=True)
    ]


def _in_words(image: Array) -> bytes:
    data = image.astype(image.dtype.newbyteorder("<"), copy=False).tobytes()
    return data.ljust(-(-len(data) // WORD_BYTES) * WORD_BYTES, b"\0")


def _parsed(memory: bytes, job: Job, program: CpuProgram, place: str) -> tuple[FloatArray, tuple[float, ...]]:
    count = sum(_words(program.output_sizes, job.candidate.spec.outputs))
    output_bytes = FLOAT32.size_bytes * count
    if not memory:
        raise CandidateError(f"{place}: the program ended early and wrote no result")
    if len(memory) != output_bytes + 8 * job.repeats:
        raise CandidateError(f"{place}: the program wrote {len(memory)} bytes of results")
    output = np.frombuffer(memory, dtype="<f4", count=count).astype(np.float32)
    times_s = np.frombuffer(memory, dtype="<f8", offset=output_bytes)
    return output, tuple(max(float(time_s), 1e-9) for time_s in times_s)
