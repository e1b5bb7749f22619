"""Times a C layer on a CPU: the kernel and the harness measure.c, compiled together and run by an executor."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np

from codegen.bundle.entries import kernel_file
from codegen.bundle.pool import pool_files, pool_flags
from codegen.element_type import FLOAT32
from codegen.engines.cpu.toolchain import (
    KERNEL_FLAGS,
    compile_executable,
    compile_relocatable,
    runtime_source,
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
DATA, RESULT, HEADER = "data.bin", "result.bin", "measure.h"


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
    data = b"".join(map(_in_words, (*job.inputs, program.weights)))
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
    return compile_executable(_sources(program, spec), target, flags, (str(harness),))


@cache
def _harness(target: Target, flags: tuple[str, ...], *, is_threaded: bool, modelled: bool) -> Path:
    """The object file that every kernel is linked with: it is compiled once."""
    choices = (f"-DMEASURE_THREADED={int(is_threaded)}", f"-DMEASURE_MODELLED={int(modelled)}")
    sources = {name: runtime_source(name) for name in ("measure.c", HEADER)}
    return compile_relocatable(sources | pool_files(2 if is_threaded else 1), target, (*flags, *choices))


def _sources(program: CpuProgram, spec: LayerSpec) -> dict[str, str]:
    """The kernel, and what the harness must know of it."""
    inputs, outputs = _words(program.input_sizes, spec.inputs), _words(program.output_sizes, spec.outputs)
    measured = "\n".join(
        [
            f'#include "{HEADER}"',
            f"static const size_t measured_inputs[] = {{{_sizes(inputs)}}};",
            f"static const size_t measured_outputs[] = {{{_sizes(outputs)}}};",
            "const measured_kernel measured = {",
            f"    {program.entry}, {program.threads}, {len(inputs)}, {len(outputs)},",
            f"    measured_inputs, measured_outputs, {program.weights.size}u, {program.workspace_bytes}u,",
            "};",
            "",
        ]
    )
    kernel = kernel_file(program.entry, program.source)
    return {"kernel.c": f"{kernel}\n{measured}", HEADER: runtime_source(HEADER)}


def _words(sizes: Sequence[int], types: Sequence[TensorType]) -> list[int]:
    """Words that images of so many elements take, each begun anew."""
    return [
        -(-size * type_.element_type.size_bytes // WORD_BYTES)
        for size, type_ in zip(sizes, types, strict=True)
    ]


def _in_words(image: Array) -> bytes:
    data = image.astype(image.dtype.newbyteorder("<"), copy=False).tobytes()
    return data.ljust(-(-len(data) // WORD_BYTES) * WORD_BYTES, b"\0")


def _sizes(sizes: Sequence[int]) -> str:
    return ", ".join(f"{size}u" for size in sizes)


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
