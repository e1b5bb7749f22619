"""What every board refuses before it runs anything: jobs that contradict themselves or the board."""

from __future__ import annotations

from codegen.engine_registry import engine_named
from codegen.program import CpuProgram, GpuProgram
from codegen.target import Target
from microbench.board import Job
from microbench.errors import CandidateError


def admit(job: Job, target: Target) -> None:
    """Raises CandidateError where the job cannot be run on such a board, whatever the board is made of."""
    place = f"candidate {job.candidate.hash[:12]} ({job.candidate.choice.algorithm}) on {target.name}"
    engine = job.candidate.choice.engine
    if (job.program.kind == "gpu") != engine_named(engine).launches:
        raise CandidateError(
            f"{place}: a choice for engine {engine!r} came with a {job.program.kind} program"
        )
    if job.repeats < 1:
        raise CandidateError(f"{place}: {job.repeats} repeats measure nothing; ask for at least 1")
    if isinstance(job.program, GpuProgram):
        _admit_gpu(job, job.program, target, place)
    else:
        _admit_cpu(job, job.program, place)


def _admit_cpu(job: Job, program: CpuProgram, place: str) -> None:
    found = tuple(value.size for value in job.inputs)
    if found != program.input_sizes:
        raise CandidateError(
            f"{place}: the program reads inputs of {program.input_sizes} elements, given {found}"
        )


def _admit_gpu(job: Job, program: GpuProgram, target: Target, place: str) -> None:
    if not target.has_qpus:
        raise CandidateError(f"{place}: this board has no QPUs; choose an algorithm for its CPU")
    if program.size_bytes > target.gpu_memory_bytes:
        raise CandidateError(
            f"{place}: needs {program.size_bytes} bytes of GPU memory; "
            f"the board has {target.gpu_memory_bytes}"
        )
    if program.words.nbytes > program.size_bytes or not program.launches:
        raise CandidateError(f"{place}: the image exceeds its allocation, or launches nothing")
    if any(launch.num_qpus > target.qpus for launch in program.launches):
        raise CandidateError(f"{place}: launches more QPUs than the {target.qpus} of the board")
    wanted = tuple(region.size_bytes for region in program.inputs)
    found = tuple(value.nbytes for value in job.inputs)
    if wanted != found:
        raise CandidateError(f"{place}: the program reads inputs of {wanted} bytes, given {found}")
    for region in (*program.inputs, *program.outputs):
        if region.offset_bytes < 0 or region.offset_bytes + region.size_bytes > program.size_bytes:
            raise CandidateError(f"{place}: region {region.name!r} lies outside the image")
