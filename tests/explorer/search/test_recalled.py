from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from codegen.graph import Graph, LayerSpec, Node
from codegen.operators.conv2d import Conv2d
from codegen.program import CpuProgram
from codegen.schedule import Candidate, Choice
from codegen.target import Target
from codegen.tensor import FloatArray, TensorType
from cost_models.residual import ResidualModel
from explorer.measure.jobs import JobBuilder
from explorer.search.budget import Budget, Left
from explorer.search.layer_search import SearchSettings
from explorer.search.recalled import basis_of
from explorer.search.request import Request
from explorer.search.search import SearchResult, search
from explorer.search.state import Searched, SearchState
from explorer.strategies.expected_gain import ExpectedGain
from explorer.terminal.progress import Silent
from microbench.board import Fingerprint
from microbench.errors import StoreError
from microbench.profile import load_profile
from microbench.store import Sample, Store
from tests.explorer.fakes import FakeAlgorithm, FakeRelayout, law_s
from tests.explorer.networks import graph_of

GRAPH = graph_of([(0,), (1,), (2,)], [3])
PROFILE = load_profile("host")
SETTINGS = SearchSettings()


class Distinct(FakeAlgorithm):
    """Every choice its own program."""

    def emit(
        self, spec: LayerSpec, target: Target, choice: Choice, weights: Sequence[FloatArray], entry: str
    ) -> CpuProgram:
        return replace(
            super().emit(spec, target, choice, weights, entry), source=f"/* {self.name} {choice.tile} */"
        )


class Counted(ExpectedGain):
    """How often it had to work out what to ask for."""

    def __init__(self, settings: SearchSettings) -> None:
        super().__init__(settings)
        self.asked = 0

    def ask(self, state: SearchState, budget: Left) -> Sequence[Request]:
        self.asked += 1
        return super().ask(state, budget)


class CountedModel(ResidualModel):
    """How often it was fitted."""

    fits = 0

    def fit(self, *observations: object) -> None:
        self.fits += 1
        super().fit(*observations)  # type: ignore[arg-type]


class Law:
    """A measurer that answers at once, by a law that is `factor` slower."""

    def __init__(self, jobs: JobBuilder, factor: float = 1.0) -> None:
        self._jobs = jobs
        self._factor = factor

    def samples(self, candidates: Iterable[Candidate]) -> tuple[Sample, ...]:
        board = Fingerprint("fake", PROFILE.hash, 0.0, "fake 1")
        return tuple(
            Sample(c, board, "host", "ok", (self._time_s(c),), self._jobs.work(c)) for c in candidates
        )

    def _time_s(self, candidate: Candidate) -> float:
        return self._factor * (1e-6 if candidate.choice.algorithm == "relayout" else law_s(candidate))


def run(
    place: Path | None, settings: SearchSettings = SETTINGS, factor: float = 1.0
) -> tuple[SearchResult, int, int]:
    """What a search found, how often the strategy was asked and how often the model was fitted."""
    algorithms = (Distinct("plain"), Distinct("quick", "pixel16"), FakeRelayout("relayout"))
    jobs = JobBuilder(
        PROFILE.target(), settings.seed, {algorithm.name: algorithm for algorithm in algorithms}
    )
    strategy, model, law = Counted(settings), CountedModel(PROFILE), Law(jobs, factor)
    if place is None:
        searched = Searched(GRAPH, jobs, PROFILE)
        return search(searched, model, law, strategy, settings, Silent()), strategy.asked, model.fits
    with Store.open(place) as store:
        searched = Searched(GRAPH, jobs, PROFILE, keeper=store)
        return search(searched, model, law, strategy, settings, Silent()), strategy.asked, model.fits


def test_a_search_that_knows_all_asks_nothing_fits_nothing_and_finds_the_same(tmp_path: Path) -> None:
    alone, asked, fits = run(None)
    first, *_ = run(tmp_path / "s")
    second, *again = run(tmp_path / "s")
    assert asked > 3 and fits == asked - 1
    assert again == [0, 0]
    for other in (first, second):
        assert other.asked == alone.asked and other.samples == alone.samples
        assert other.timed_candidates == alone.timed_candidates
        assert other.unseen == alone.unseen


def test_a_search_that_goes_further_than_the_one_before_asks_from_there_on(tmp_path: Path) -> None:
    alone, asked, _ = run(None)
    part, asked_then, _ = run(tmp_path / "s", replace(SETTINGS, budget=Budget(measurements=20)))
    whole, asked_now, _ = run(tmp_path / "s")
    assert 0 < len(part.samples) < len(whole.samples) == len(alone.samples)
    assert whole.asked == alone.asked
    assert 0 < asked_now < asked and asked_then > 0


def test_other_times_or_settings_are_another_search(tmp_path: Path) -> None:
    _, asked, _ = run(tmp_path / "s")
    assert run(tmp_path / "s", factor=2.0)[1] == asked - 1  # nothing was known yet at its beginning
    assert run(tmp_path / "s", replace(SETTINGS, layer_budget=6))[1] > 0
    assert run(tmp_path / "s", replace(SETTINGS, seed=1))[1] > 0


def test_a_damaged_round_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(tmp_path / "s")
    monkeypatch.setattr(Store, "round", lambda store, key: '{"best_s": 1')
    with pytest.raises(StoreError, match=r"round [0-9a-f]{12} of a search is damaged.*--store"):
        run(tmp_path / "s")


def test_a_network_of_other_zeros_is_another_search() -> None:
    """Its layers have other candidates."""
    settings, algorithms = SETTINGS, {"plain": Distinct("plain")}
    jobs = JobBuilder(PROFILE.target(), settings.seed, algorithms)
    weights = np.random.default_rng(0).standard_normal((64, 64, 1, 1)).astype(np.float32)

    def basis(values: FloatArray) -> str:
        types = {"x": TensorType((1, 64, 4, 4)), "y": TensorType((1, 64, 4, 4))}
        node = Node("n", Conv2d((1, 1)), ("x",), ("y",), ("w", "b"))
        constants = {"w": values, "b": np.zeros(64, np.float32)}
        graph = Graph("pruned", ("x",), ("y",), (node,), types, constants)
        searched = Searched(graph, jobs, PROFILE)
        return basis_of(searched, ResidualModel(PROFILE), ExpectedGain(settings), settings, ())

    pruned = np.where(np.abs(weights) > 1.5, weights, np.float32(0))
    assert basis(weights) == basis(2 * weights) != basis(pruned)
