"""Strategies replayed on a store of ground truth: how good the composed network gets by how many samples."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import mean
from tempfile import TemporaryDirectory

import numpy as np

from codegen.algorithm import algorithms
from codegen.engine_registry import engine_named
from codegen.graph import Graph, LayerSpec
from codegen.operators.relayout import Relayout
from codegen.schedule import Candidate
from cost_models.model import Observation
from cost_models.registry import cost_model_named
from explorer.compose.compose import compose
from explorer.compose.timed_candidates import TimedCandidate
from explorer.errors import CompositionError, UsageError
from explorer.measure.jobs import JobBuilder
from explorer.measure.measurer import SHORTEST_S, Measurer, overheads_of
from explorer.measure.workers import Workers
from explorer.pipeline.boards import close, open_board_of
from explorer.search.budget import Budget
from explorer.search.layer_search import SearchSettings
from explorer.search.search import search
from explorer.search.state import Searched
from explorer.settings import RunSettings
from explorer.strategies.registry import strategy_named
from explorer.studies.truth_samples import truth_samples
from explorer.terminal.progress import Silent
from microbench.board import Board
from microbench.store import Sample, Store

LIMIT = 4000  # points of a space that is enumerated, as in the ground truth
STEP = 10  # samples between two compositions of a curve
CLOSE = 0.01  # to the best network: what counts as found
LEARNING = ("expected_gain", "successive")  # strategies that ask the cost model
DRAWING = ("random", "tpe")  # strategies that a seed changes


@dataclass(frozen=True)
class Replayed:
    """One strategy with one seed. `curve_s`: (samples, seconds of the composed network) as samples come in, infinite
    where they make none; `best_s`: of the best network of all that is known; `regrets`: in the end, what each layer's
    best measured candidate takes longer than the best that there is; `asked`: hashes of what was measured, in order.
    """

    strategy: str
    seed: int
    curve_s: tuple[tuple[int, float], ...]
    best_s: float
    regrets: tuple[float, ...]
    asked: tuple[str, ...] = ()

    @property
    def curve(self) -> tuple[tuple[int, float], ...]:
        """The same as regret."""
        return tuple((samples, time_s / self.best_s - 1) for samples, time_s in self.curve_s)

    @property
    def samples(self) -> int:
        """Of the whole search."""
        return self.curve[-1][0]

    @property
    def to_close(self) -> float:
        """Samples until the composed network was, and stayed, CLOSE to the best; infinite where it never was."""
        return self.samples_to(CLOSE)

    def samples_to(self, most: float) -> float:
        """Samples until the regret was, and stayed, at most that; infinite where it never was."""
        found = float("inf")
        for samples, regret in reversed(self.curve):
            if regret > most:
                break
            found = samples
        return found

    def regret_at(self, samples: int) -> float:
        """Of the network composed of at most so many samples."""
        return next((regret for n, regret in reversed(self.curve) if n <= samples), float("inf"))

    @property
    def layer_mean(self) -> float:
        return mean(self.regrets)

    @property
    def layer_p95(self) -> float:
        return float(np.percentile(self.regrets, 95))


class Truth:
    """The samples that a store has of a network's layers, on boards with the constants of a profile, of the algorithms
    as they are installed. Changes of layout, of which there is little to choose, are measured.

    Raises UsageError naming a layer of which the store has none.
    """

    def __init__(self, store: str, graph: Graph, board: Board, changes: Measurer, jobs: JobBuilder) -> None:
        self.graph, self.jobs, self.profile = graph, jobs, board.profile
        self.overheads = overheads_of(board)
        self._changes = changes
        self._samples: dict[str, Sample] = {}
        self._changed: dict[str, Sample] = {}
        layers = {LayerSpec.of(graph, node): node.name for node in graph.nodes}
        self._truth = truth_samples(store, board.profile, lambda sample: sample.candidate.spec in layers)
        for sample in self._truth.samples:
            self._samples[sample.candidate_hash] = self._within_a_launch(sample)
        known = {sample.candidate.spec for sample in self._samples.values()}
        for spec, name in layers.items():
            if spec not in known:
                raise UsageError(f"{store} has no sample of layer {name!r}; {self._truth.remedy}")

    def samples(self, candidates: Iterable[Candidate]) -> tuple[Sample, ...]:
        """As a measurer answers, and at once but for changes of layout."""
        return tuple(self._sample(candidate) for candidate in candidates)

    def _sample(self, candidate: Candidate) -> Sample:
        found = self._samples.get(candidate.hash) or self._changed.get(candidate.hash)
        if found is None:
            (found,) = self._changes.samples((candidate,))
            self._changed[candidate.hash] = found
        return found

    def has(self, candidate: Candidate) -> bool:
        """Whether a search may ask for it."""
        return candidate.hash in self._samples or isinstance(candidate.spec.op, Relayout)

    def replay(
        self, strategy: str, seed: int, most: int | None = None, prior: Sequence[Observation] = ()
    ) -> Replayed:
        """One search; `most` samples, None: until the strategy ends. `prior`: what its model begins with."""
        settings = SearchSettings(seed=seed, enumerate_limit=LIMIT, budget=Budget(measurements=most))
        model = cost_model_named("residual" if strategy in LEARNING else "roofline", self.profile)
        searched = Searched(self.graph, self.jobs, self.profile, self.overheads, self.has)
        found = search(searched, model, self, strategy_named(strategy, settings), settings, Silent(), prior)
        asked = [one.sample for one in found.asked]
        counts = sorted({*range(STEP, len(asked), STEP), len(asked)})
        curve = tuple((count, self._composed_s(asked[:count])) for count in counts)
        hashes = tuple(sample.candidate_hash for sample in asked)
        return Replayed(strategy, seed, curve, self.best_s, tuple(self._regrets(asked)), hashes)

    def describe(self) -> str:
        """What the store has."""
        layers = {sample.candidate.spec for sample in self._samples.values()}
        return (
            f"The store has {len(self._samples)} candidates of {len(layers)} layers. {self._truth.sentence}"
        )

    @property
    def best_s(self) -> float:
        """Seconds of the best network of all that is known, with the changes of layout that were asked for."""
        return self._composed_s([*self._samples.values(), *self._changed.values()])

    def _composed_s(self, samples: Iterable[Sample]) -> float:
        ways: dict[LayerSpec, list[TimedCandidate]] = {}
        for sample in samples:
            if sample.status == "ok":
                workspace = int(sample.work.workspace_bytes)
                timed = TimedCandidate(sample.candidate, sample.time_s, sample.kind, sample.id, workspace)
                ways.setdefault(sample.candidate.spec, []).append(timed)
        try:
            return compose(self.graph, {s: tuple(w) for s, w in ways.items()}, self.overheads).total_s
        except CompositionError:
            return float("inf")

    def _regrets(self, samples: Iterable[Sample]) -> Iterator[float]:
        everything, measured = _fastest(self._samples.values()), _fastest(samples)
        for spec, best_s in everything.items():
            if best_s > 0:
                yield measured.get(spec, float("inf")) / best_s - 1

    def _within_a_launch(self, sample: Sample) -> Sample:
        if not engine_named(sample.candidate.choice.engine).launches:
            return sample
        times_s = tuple(max(time_s - self.overheads.launch_s, SHORTEST_S) for time_s in sample.times_s)
        return replace(sample, times_s=times_s)


@contextmanager
def open_truth(settings: RunSettings, graph: Graph) -> Iterator[Truth]:
    """The truth in the store of the settings, and the board of the settings for changes of layout."""
    board = open_board_of(settings)
    jobs = JobBuilder(board.target, 0, algorithms())
    with (
        TemporaryDirectory() as scratch,
        Workers([board], close) as boards,
        Store.open(str(Path(scratch) / "changes.sqlite")) as store,
    ):
        launch_s = overheads_of(board).launch_s
        changes = Measurer(boards, jobs, store, board.fingerprint(), Silent(), launch_s)
        yield Truth(settings.store, graph, board, changes, jobs)


def _fastest(samples: Iterable[Sample]) -> dict[LayerSpec, float]:
    found: dict[LayerSpec, float] = {}
    for sample in samples:
        if sample.is_timed:
            spec = sample.candidate.spec
            found[spec] = min(found.get(spec, float("inf")), sample.time_s)
    return found
