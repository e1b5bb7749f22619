"""What can be done for candidates before a board's clock runs: their C code is compiled, on all cores."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress

from codegen.engine_registry import engine_named
from codegen.errors import ScheduleError, ToolchainError
from codegen.program import CpuProgram
from codegen.schedule import Candidate
from explorer.measure.jobs import JobBuilder
from explorer.measure.workers import Workers
from microbench.boards.cpu_harness import compile_kernel

CHUNK = 24  # candidates: enough for all cores, few enough for a progress bar to move


def prepare(jobs: JobBuilder, candidates: Sequence[Candidate]) -> None:
    """Fills the compiler's cache; a candidate that cannot be compiled is left to its measurement to tell."""
    with Workers(range(os.cpu_count() or 1)) as workers:
        for _ in workers.map(lambda _, candidate: _compile(jobs, candidate), candidates):
            pass


def _compile(jobs: JobBuilder, candidate: Candidate) -> None:
    if engine_named(candidate.choice.engine).launches:
        return
    with suppress(ScheduleError, ToolchainError):
        program = jobs.job(candidate).program
        if isinstance(program, CpuProgram):
            compile_kernel(program, jobs.target, candidate.spec)
