"""Samples of a farm: what boards answer is normalised between instances and stored as it comes."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from codegen.schedule import Candidate
from explorer.errors import FarmError
from explorer.farm.bench import Order
from explorer.farm.pool import Pool, Settled
from explorer.farm.references import References
from explorer.measure.jobs import JobBuilder
from microbench.board import Board
from microbench.store import Sample, Store, from_row

Tell = Callable[[str], None]


class FarmSamples:
    """Takes samples of candidates on the boards of a pool, for one search; see `explorer.measure.measurer.Farm`.

    `tell` hears of every board that is set aside.
    """

    def __init__(
        self, pool: Pool, board: Board, jobs: JobBuilder, store: Store, repeats: int, tell: Tell
    ) -> None:
        self._pool = pool
        self._board = board
        self._jobs = jobs
        self._store = store
        self._repeats = repeats
        self._tell = tell
        self._run = uuid.uuid4().hex
        self._told = 0
        self._early: list[Settled] = []  # answers to what was begun and not asked for yet
        self._class_hash = board.fingerprint().class_hash
        self._references = References(store.samples(class_hash=self._class_hash))

    def known(self) -> tuple[Sample, ...]:
        """The store's samples of the class whose times are comparable."""
        every = self._store.samples(class_hash=self._class_hash)
        return tuple(sample for sample in every if self._references.is_comparable(sample))

    def begin(self, candidate: Candidate) -> None:
        """Hands it out as soon as a board has room."""
        self._pool.begin((candidate,), self._order)

    def taken(self, candidates: Sequence[Candidate]) -> Iterator[Sample]:
        """A stored sample of each, as they come; raises FarmError where no board is left, and StoreError."""
        wanted = {candidate.hash for candidate in candidates}
        early = {settled.candidate.hash for settled in self._early if settled.is_last}
        self._pool.begin((one for one in candidates if one.hash not in early), self._order)
        try:
            due, self._early = self._early, []
            while wanted:
                for settled in due:
                    if settled.candidate.hash not in wanted:
                        self._early.append(settled)
                        continue
                    if sample := self._stored(settled):
                        wanted.discard(sample.candidate_hash)
                        yield sample
                self._tell_of_boards()
                due = list(self._pool.settled()) if wanted else []
        except BaseException:
            self._pool.drop()
            raise

    def _order(self, candidate: Candidate) -> Order:
        return Order(candidate.canonical, self._run, self._jobs.seed, self._repeats)

    def _stored(self, settled: Settled) -> Sample | None:
        """Stores all that an answer says; returns the candidate's own sample, if there is one."""
        rows = settled.answer.rows if settled.answer else ()
        own: Sample | None = None
        for row in rows:
            sample = from_row({**row, "id": 0}, f"an answer of {settled.answer and settled.answer.board}")
            if sample.fingerprint.class_hash != self._class_hash:
                raise FarmError(
                    f"{settled.answer and settled.answer.board} answers as a board of another class "
                    f"({sample.fingerprint.board}); start the farm again"
                )
            if sample.role == "candidate":
                sample = own = self._references.normalised(sample)
            number = self._store.add(sample)
            stored = replace(sample, id=number)
            self._references.take(stored)
            if sample is own:
                own = stored
        if own is None and settled.is_last:
            own = self._failed(settled)
            own = replace(own, id=self._store.add(own))
        return own

    def _failed(self, settled: Settled) -> Sample:
        """Of a candidate that no board measured: what no board survives is a fault of the candidate."""
        candidate = settled.candidate
        return Sample(
            candidate,
            self._board.fingerprint(),
            self._board.kind_of(candidate.choice.engine),
            "failed",
            (),
            self._jobs.work(candidate),
            message=settled.lost,
            revision=self._jobs.revision(candidate),
        )

    def _tell_of_boards(self) -> None:
        for aside in self._pool.set_aside[self._told :]:
            self._tell(f"{aside.board} is set aside, it failed three times: {aside.reason}")
        self._told = len(self._pool.set_aside)
