"""Which candidates are one program: equal words and streams, or equal C code and weights, take equal time."""

from __future__ import annotations

import hashlib

from codegen.errors import AssemblyError, LinkError, ScheduleError
from codegen.program import CpuProgram, Program
from codegen.schedule import Candidate
from explorer.compose.timed_candidates import Interface, threads_of
from explorer.measure.jobs import JobBuilder


class Programs:
    """Digests of candidates' programs, each made once."""

    def __init__(self, jobs: JobBuilder) -> None:
        self._jobs = jobs
        self._digests: dict[str, str] = {}

    def digest(self, candidate: Candidate) -> str:
        """Equal for candidates of one layer that neither a board nor a neighbour can tell apart; of a candidate that
        has no program its own.
        """
        if candidate.hash not in self._digests:
            try:
                program = self._jobs.program(candidate)
            except (ScheduleError, AssemblyError, LinkError):
                self._digests[candidate.hash] = candidate.hash
            else:
                self._digests[candidate.hash] = _digest(candidate, program)
        return self._digests[candidate.hash]


def _digest(candidate: Candidate, program: Program) -> str:
    digest = hashlib.sha256(repr((Interface.of(candidate), threads_of(candidate))).encode())
    if isinstance(program, CpuProgram):
        digest.update(
            repr((program.source, program.entry, program.workspace_bytes, program.threads)).encode()
        )
        digest.update(program.weights.tobytes())
    else:
        digest.update(repr((program.size_bytes, program.launches, program.inputs, program.outputs)).encode())
        digest.update(program.relocations.tobytes())
        digest.update(program.words.tobytes())
    return digest.hexdigest()
