"""A sample of a candidate on a board: the job made, measured, its output judged."""

from __future__ import annotations

from codegen.errors import AssemblyError, LinkError, ScheduleError
from codegen.schedule import Candidate, Work
from explorer.measure.jobs import JobBuilder
from explorer.measure.judge import Judge
from microbench.board import Board, Fingerprint
from microbench.errors import CandidateError
from microbench.store import Sample, Status

CANDIDATE_FAULTS = (CandidateError, ScheduleError, AssemblyError, LinkError)


class SampleTaker:
    """Takes samples for one target and seed, whichever of the boards with this fingerprint is given. Safe in several
    threads.
    """

    def __init__(self, jobs: JobBuilder, fingerprint: Fingerprint) -> None:
        self._jobs = jobs
        self._fingerprint = fingerprint
        self._judge = Judge(jobs.seed)

    def take(self, board: Board, candidate: Candidate) -> Sample:
        """The sample, `failed` for a bad candidate; raises BoardError."""
        work = self._jobs.work(candidate)
        try:
            job = self._jobs.job(candidate)
            measurement = board.measure(job)
        except CANDIDATE_FAULTS as error:
            return self._failed(board, candidate, work, str(error))
        if measurement.output is None:
            return Sample.of(job, self._fingerprint, measurement)
        verdict = self._judge.judge(candidate, measurement.output)
        status: Status = "ok" if verdict.correct else "wrong"
        return Sample.of(job, self._fingerprint, measurement, status, verdict.message)

    def _failed(self, board: Board, candidate: Candidate, work: Work, message: str) -> Sample:
        kind = board.kind_of(candidate.choice.engine)
        revision = self._jobs.revision(candidate)
        return Sample(
            candidate, self._fingerprint, kind, "failed", (), work, message=message, revision=revision
        )
