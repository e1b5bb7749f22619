"""Which candidates are one program: equal words and streams, or equal C code and weights, take equal time."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from functools import cache
from typing import Protocol

from codegen.canonical import content_hash
from codegen.errors import AssemblyError, LinkError, ScheduleError
from codegen.program import CpuProgram, Program
from codegen.schedule import Candidate
from explorer.compose.timed_candidates import Interface, threads_of
from explorer.measure.jobs import JobBuilder
from microbench.store import ProgramDigest

VERSION = 1  # of what is digested


class DigestKeeper(Protocol):
    """Where digests outlive a run: a `Store`."""

    def programs(self, made_by: str) -> Collection[ProgramDigest]:
        """All that this made."""
        ...

    def add_programs(self, programs: Sequence[ProgramDigest]) -> None:
        """Takes more."""
        ...


class Programs:
    """Digests of candidates' programs, each made once: what the keeper has is not made again, unless the code of its
    algorithm changed.
    """

    def __init__(self, jobs: JobBuilder, keeper: DigestKeeper | None = None) -> None:
        self._jobs = jobs
        self._keeper = keeper
        self._digests: dict[str, str] = {}
        self._new: list[ProgramDigest] = []
        self._maker = cache(self._maker_of)

    def digest(self, candidate: Candidate) -> str:
        """Equal for candidates of one layer that neither a board nor a neighbour can tell apart; of a candidate that
        has no program its own. Raises what the keeper raises.
        """
        made_by = self._maker(self._jobs.revision(candidate)) if self._keeper else ""
        if candidate.hash not in self._digests:
            digest = self._digests[candidate.hash] = self._made(candidate)
            self._new.append(ProgramDigest(made_by, candidate.hash, digest))
        return self._digests[candidate.hash]

    def keep(self) -> None:
        """Gives the keeper what was made since it was last given something; raises what that raises."""
        if self._keeper:
            self._keeper.add_programs(self._new)
        self._new = []

    def _made(self, candidate: Candidate) -> str:
        try:
            program = self._jobs.program(candidate)
        except (ScheduleError, AssemblyError, LinkError):
            return candidate.hash
        return _digest(candidate, program)

    def _maker_of(self, revision: str) -> str:
        """A digest of all that makes programs of candidates; what it made before is known from then on."""
        made_by = content_hash([VERSION, revision, self._jobs.target, self._jobs.seed])
        if self._keeper:
            kept = self._keeper.programs(made_by)
            self._digests.update((program.candidate_hash, program.digest) for program in kept)
        return made_by


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
