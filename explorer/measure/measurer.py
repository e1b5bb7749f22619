"""Measures candidates once: what the store knows is looked up, the rest goes to the board and is stored."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from threading import Event
from typing import Protocol

from codegen.engine_registry import engine_named
from codegen.schedule import Candidate
from explorer.compose.steps import Overheads
from explorer.measure.clocked import ClockedBatches, reference_candidates
from explorer.measure.jobs import JobBuilder
from explorer.measure.preparation import prepare
from explorer.measure.taking import SampleTaker
from explorer.measure.workers import Workers
from explorer.terminal.progress import Progress
from microbench.board import Board, Fingerprint, Kind
from microbench.conditions import Conditions
from microbench.protocol import ReferenceTimes
from microbench.store import Sample, Store

LAUNCHED: frozenset[Kind] = frozenset({"simulated", "silicon"})  # a modelled QPU time knows no launch
SHORTEST_S = 1e-7


@dataclass
class Tally:
    """How many candidates were measured now, and how many the store already knew."""

    measured: int = 0
    known: int = 0
    failed: int = 0
    wrong: int = 0
    noise_floor: float | None = (
        None  # spread of the reference kernels, as a fraction; None where no clock is read
    )
    reference: ReferenceTimes | None = None  # what that is the spread of
    clocks: Conditions | None = None  # of the board, as the samples were timed; None where it tells none

    def count(self, sample: Sample, measured: bool) -> None:
        """Adds one sample."""
        self.measured += measured
        self.known += not measured
        self.failed += sample.status == "failed"
        self.wrong += sample.status == "wrong"


class Farm(Protocol):
    """Boards of one class elsewhere that share the candidates among them; samples go to the store as they come."""

    def known(self) -> Iterable[Sample]:
        """What the store has of the class: all that was timed on whichever of its boards, its times comparable."""
        ...

    def begin(self, candidate: Candidate) -> None:
        """Measures a candidate that is going to be asked for."""
        ...

    def taken(self, candidates: Sequence[Candidate]) -> Iterator[Sample]:
        """A stored sample of each, as they come; raises BoardError where no board is left."""
        ...


class Measurer:
    """Boards, the store and the judge. A candidate that has a sample on such a board, of its algorithm as it is now, is
    not measured again.

    Without a clock samples are appended in the order they were asked for, whichever board finished first. Where a
    clock is read they are measured one at a time in the order of `ClockedBatches`, each stored before the next
    starts. Either way an interrupted run has exactly the first samples of an uninterrupted one. On boards that
    record nothing, nothing is appended: what a replay board does not know is no failure of the board that was recorded.
    On a `farm` they are measured by whichever of its boards is free and stored as they come. `rehearsals` are the
    store's, from before this search, of whatever code.
    """

    def __init__(
        self,
        boards: Workers[Board],
        jobs: JobBuilder,
        store: Store,
        fingerprint: Fingerprint,
        progress: Progress,
        launch_overhead_s: float = 0.0,
        farm: Farm | None = None,
    ) -> None:
        self._boards = boards
        self._store = store
        self._jobs = jobs
        self._taker = SampleTaker(jobs, fingerprint)
        self._farm = farm
        self._progress = progress
        self._launch_overhead_s = launch_overhead_s
        self._recording = boards.call(lambda board: board.records)
        self._known: dict[str, Sample] = {}
        self._dropped = Event()
        self._begun: dict[str, Callable[[], Sample]] = {}  # by hash; each waits for the measurement
        stored = tuple(farm.known() if farm else (one.as_timed for one in store.samples(fingerprint.hash)))
        self.rehearsals = tuple(sample for sample in stored if sample.role == "rehearsal")
        held = tuple(sample for sample in stored if sample.role != "rehearsal" and jobs.is_current(sample))
        for sample in held:
            if sample.role == "candidate":
                self._known[sample.candidate_hash] = self._within_a_launch(sample)
        self._clocked: ClockedBatches | None = None
        if farm is None and boards.call(lambda board: board.reads_clock):
            self._clocked = ClockedBatches(
                self._measure_alone,
                self._append,
                held,
                reference_candidates(jobs),
                jobs.seed,
                partial(prepare, jobs),
            )
        self.tally = Tally()
        self._note_noise()

    def samples(self, candidates: Iterable[Candidate]) -> tuple[Sample, ...]:
        """One sample per candidate, in order; raises BoardError or StoreError, never for a bad candidate.

        Their times are those of the layer within a launch: the store's times, which include the overhead of a
        launch of its own where QPUs were really launched, less that overhead.
        """
        asked = tuple(candidates)
        self._progress.expect(len(asked))
        unknown = [candidate for candidate in asked if candidate.hash not in self._known]
        for candidate in asked:
            if candidate.hash in self._known:
                self._tell(candidate, measured=False)
        distinct = tuple(dict.fromkeys(unknown))
        told = set()
        for sample in self._taken(distinct):
            self._known[sample.candidate_hash] = self._within_a_launch(sample)
            if sample.candidate_hash not in told:  # a batch that was disturbed comes again
                told.add(sample.candidate_hash)
                self._tell(sample.candidate, measured=True)
        for candidate in unknown:
            if candidate.hash in told:
                told.remove(candidate.hash)
            else:
                self._tell(candidate, measured=False)
        return tuple(self._known[candidate.hash] for candidate in asked)

    def begin(self, candidate: Candidate) -> None:
        """Measures a candidate that is going to be asked for while other things are done, where no clock would notice.

        Until it is asked for nothing is recorded of it.
        """
        if self._clocked or candidate.hash in self._known:
            return
        if self._farm:
            self._farm.begin(candidate)
        elif candidate.hash not in self._begun:
            self._begun[candidate.hash] = self._boards.begin(
                lambda board: self._taker.take(board, candidate), self._dropped
            )

    def _taken(self, candidates: Sequence[Candidate]) -> Iterator[Sample]:
        if self._farm:
            return self._farm.taken(candidates)
        return self._one_by_one(candidates) if self._clocked else self._side_by_side(candidates)

    def _one_by_one(self, candidates: Sequence[Candidate]) -> Iterator[Sample]:
        assert self._clocked is not None
        yield from self._clocked.measured(candidates)
        self._note_noise()

    def _note_noise(self) -> None:
        if self._clocked:
            self.tally.noise_floor = self._clocked.noise_floor()
            self.tally.reference = self._clocked.reference()
            self.tally.clocks = self._clocked.clocks

    def _side_by_side(self, candidates: Sequence[Candidate]) -> Iterator[Sample]:
        for candidate in candidates:
            self.begin(candidate)
        try:
            for candidate in candidates:
                sample = self._begun.pop(candidate.hash)()
                yield replace(sample, id=self._append(sample))
        except BaseException:
            self._drop()
            raise

    def _drop(self) -> None:
        """Leaves out what was begun and no board has started."""
        self._dropped.set()
        self._dropped, self._begun = Event(), {}

    def _append(self, sample: Sample) -> int:
        return self._store.add(sample) if self._recording else 0

    def _tell(self, candidate: Candidate, measured: bool) -> None:
        sample = self._known[candidate.hash]
        self.tally.count(sample, measured)
        self._progress.sample(sample, measured)

    def _measure_alone(self, candidate: Candidate) -> Sample:
        return self._boards.call(lambda board: self._taker.take(board, candidate))

    def _within_a_launch(self, sample: Sample) -> Sample:
        if not engine_named(sample.candidate.choice.engine).launches or sample.kind not in LAUNCHED:
            return sample
        times_s = tuple(max(t - self._launch_overhead_s, SHORTEST_S) for t in sample.times_s)
        return replace(sample, times_s=times_s)


def overheads_of(board: Board) -> Overheads:
    """What changes of engines cost on this board; nothing where there is nothing to change to."""
    profile = board.profile
    return Overheads(
        profile.v3d_value("launch_overhead_s") if board.target.has_qpus else 0.0,
        profile.thread_value("wake_s"),
        profile.thread_value("spin_s"),
    )
