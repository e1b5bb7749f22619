"""A board that studies ask over a connection: candidates one by one, and whole plans, each of them once."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import fmean
from types import TracebackType
from typing import Self

from codegen.algorithm import algorithms
from codegen.bundle import compile_bundle
from codegen.canonical import content_hash
from codegen.plan import Plan
from codegen.schedule import Candidate
from explorer.measure.jobs import JobBuilder
from explorer.measure.measurer import Measurer, overheads_of
from explorer.measure.workers import Workers
from explorer.pipeline.boards import close
from explorer.pipeline.run import REPEATS
from explorer.plans.check import failure_of, staged, trials_of
from explorer.plans.planning import decisions
from explorer.plans.searched_network import SearchedNetwork
from explorer.settings import RunSettings
from explorer.terminal.progress import Progress
from explorer.twin.plans import Perform, fastest_plan
from explorer.twin.put_right import Asking, put_right
from microbench.board import Board, BundleRun
from microbench.boards.ssh import SshBoard
from microbench.errors import CandidateError
from microbench.store import Sample, Store


class AskedBoard:
    """A context manager; the board is closed at its end, the settings' store keeps what it said."""

    def __init__(self, board: SshBoard, settings: RunSettings, progress: Progress) -> None:
        self.target = board.target
        self.overheads = overheads_of(board)
        self._boards = Workers[Board]([board], close)
        self._settings = settings
        self._progress = progress
        self._runs: dict[str, tuple[BundleRun, str]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._boards.close()

    def put_right(self, found: SearchedNetwork, asking: Asking) -> tuple[SearchedNetwork, int]:
        """With the fastest plan on the board of those that it was asked of, and of how many candidates it was asked.

        Raises CandidateError where none of the plans works, and what boards raise.
        """
        self._progress.phase("Measure on the board")
        with Store.open(self._settings.store) as store:
            measurer = self._measurer(store, REPEATS)
            answer = put_right(found, self.overheads, measurer.samples, asking)
            asked = measurer.tally.measured + measurer.tally.known
        timed = answer.result.timed_candidates
        known = replace(found, result=answer.result, expected=timed, overheads=self.overheads, best=None)
        best = fastest_plan(known, answer.compositions, asking.plans, self._performer(found), self._progress)
        return replace(known, best=best or answer.compositions[-1]), asked

    def samples(self, candidates: Sequence[Candidate]) -> tuple[Sample, ...]:
        """Each measured once: for a board whose launches take the same time whenever they are repeated."""
        with Store.open(self._settings.store) as store:
            return self._measurer(store, repeats=1).samples(candidates)

    def _measurer(self, store: Store, repeats: int) -> Measurer:
        jobs = JobBuilder(self.target, self._settings.search.seed, algorithms(), repeats)
        fingerprint = self._boards.call(lambda board: board.fingerprint())
        return Measurer(self._boards, jobs, store, fingerprint, self._progress, self.overheads.launch_s)

    def time_s(self, found: SearchedNetwork) -> float:
        """Seconds of the network's fastest plan on the board, in the mean over the bundle's runs; raises CandidateError
        for a plan whose outputs are wrong, and what boards raise.
        """
        plan = found.plan(found.fastest)
        key = _key(plan)
        if key not in self._runs:
            self._progress.phase("Whole plan")
            with tempfile.TemporaryDirectory() as scratch:
                bundle = Path(scratch) / "bundle"
                compile_bundle(found.network.graph, plan, self.target, bundle)
                self._perform(found, bundle, plan)
        run, wrong = self._runs[key]
        if wrong:
            raise CandidateError(f"a plan of {found.network.name}: {wrong}")
        return fmean(run.times_s)

    def _performer(self, found: SearchedNetwork) -> Perform:
        return lambda bundle, plan: self._perform(found, bundle, plan)

    def _perform(self, found: SearchedNetwork, bundle: Path, plan: Plan) -> tuple[BundleRun, str]:
        key = _key(plan)
        if key not in self._runs:
            trial = trials_of(found.network, self._settings.search.seed, 1)[0]
            run = self._boards.call(lambda board: board.run_bundle(bundle, trial.inputs))
            again = partial(self._boards.call, lambda board: staged(board, bundle, [trial]))
            self._runs[key] = run, failure_of(run, trial, plan, again)
        return self._runs[key]


def _key(plan: Plan) -> str:
    return content_hash(decisions(plan))
