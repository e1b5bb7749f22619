from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace

import pytest

from codegen.graph import LayerSpec
from codegen.program import CpuProgram
from codegen.schedule import Candidate, Choice
from codegen.target import Target
from codegen.tensor import FloatArray
from cost_models.residual import ResidualModel
from explorer.compose.compose import compose
from explorer.compose.steps import Overheads
from explorer.errors import BudgetError, StrategyError
from explorer.measure.jobs import JobBuilder
from explorer.search.budget import Budget
from explorer.search.layer_search import SearchSettings
from explorer.search.search import SearchResult, search
from explorer.search.state import Searched
from explorer.strategies.expected_gain import PROMISING
from explorer.strategies.pace import EXACT
from explorer.strategies.registry import known_strategies, strategy_named
from explorer.terminal.progress import Silent
from microbench.board import Fingerprint
from microbench.profile import load_profile
from microbench.store import Sample
from tests.explorer.fakes import FakeAlgorithm, FakeRelayout, law_s
from tests.explorer.networks import graph_of

GRAPH = graph_of([(0,), (1,), (2,)], [3])
PROFILE = load_profile("host")


class Distinct(FakeAlgorithm):
    """Every choice its own program, or with `alike` rows that are never looked at."""

    def __init__(self, name: str, layout: str = "nchw", alike: bool = False) -> None:
        super().__init__(name, layout)
        self.alike = alike

    def emit(
        self, spec: LayerSpec, target: Target, choice: Choice, weights: Sequence[FloatArray], entry: str
    ) -> CpuProgram:
        tile = choice.tiles["columns"] if self.alike else choice.tile
        return replace(super().emit(spec, target, choice, weights, entry), source=f"/* {self.name} {tile} */")


class Law:
    """A measurer that answers at once."""

    def __init__(self, jobs: JobBuilder) -> None:
        self.asked: list[Candidate] = []
        self._jobs = jobs

    def samples(self, candidates: Iterable[Candidate]) -> tuple[Sample, ...]:
        found = tuple(candidates)
        self.asked += found
        board = Fingerprint("fake", PROFILE.hash, 0.0, "fake 1")
        return tuple(
            Sample(c, board, "host", "ok", (_time_s(c),), self._jobs.work(c), id=1 + i)
            for i, c in enumerate(found, len(self.asked))
        )


def _time_s(candidate: Candidate) -> float:
    return 1e-6 if candidate.choice.algorithm == "relayout" else law_s(candidate)


def run(name: str, settings: SearchSettings, alike: bool = False) -> tuple[SearchResult, Law]:
    algorithms = (
        Distinct("plain", alike=alike),
        Distinct("quick", "pixel16", alike),
        FakeRelayout("relayout"),
    )
    jobs = JobBuilder(PROFILE.target(), 0, {algorithm.name: algorithm for algorithm in algorithms})
    law = Law(jobs)
    searched = Searched(GRAPH, jobs, PROFILE)
    strategy = strategy_named(name, settings)
    return search(searched, ResidualModel(PROFILE), law, strategy, settings, Silent()), law


@pytest.mark.parametrize("name", known_strategies())
def test_every_strategy_asks_once_for_each_and_ends_with_a_plan(name: str) -> None:
    result, law = run(name, SearchSettings())
    assert len(set(law.asked)) == len(law.asked) == len(result.samples) == len(result.asked)
    assert all(one.request.reason for one in result.asked) and result.strategy == name
    assert compose(GRAPH, result.timed_candidates, Overheads()).total_s < 3 * 1.5e-4


@pytest.mark.parametrize("name", known_strategies())
def test_the_same_again_and_no_more_than_the_budget(name: str) -> None:
    whole, _ = run(name, SearchSettings())
    most = max(14, len(whole.samples) // 2)
    first, law = run(name, SearchSettings(budget=Budget(measurements=most)))
    assert len(law.asked) <= most
    assert [one.sample.candidate for one in first.asked] == [
        one.sample.candidate for one in whole.asked[: len(first.asked)]
    ]


def test_expected_gain_comes_close_with_fewer_samples_by_a_law_that_no_model_knows() -> None:
    everything, _ = run("exhaustive", SearchSettings())
    half = Budget(measurements=len(everything.samples) // 2)
    found, _ = run("expected_gain", SearchSettings(budget=half))
    best_s = compose(GRAPH, everything.timed_candidates, Overheads()).total_s
    assert compose(GRAPH, found.timed_candidates, Overheads()).total_s <= 1.25 * best_s
    assert len(found.samples) < len(everything.samples)


def test_a_program_is_measured_once_whatever_it_is_called() -> None:
    result, _ = run("expected_gain", SearchSettings(), alike=True)
    seen = [
        (s.candidate.spec, s.candidate.choice.algorithm, s.candidate.choice.tiles["columns"])
        for s in result.samples
        if s.candidate.choice.algorithm != "relayout"
    ]
    assert len(seen) == len(set(seen))


def test_a_budget_too_small_for_a_plan_says_how_much_that_needs() -> None:
    with pytest.raises(BudgetError, match=r"needs at least \d+ measurements, --budget allows 2"):
        run("expected_gain", SearchSettings(budget=Budget(measurements=2)))


def test_a_budget_that_made_a_plan_is_never_too_small_for_a_faster_one() -> None:
    with pytest.raises(BudgetError) as raised:
        run("expected_gain", SearchSettings(budget=Budget(measurements=2)))
    (needed,) = re.findall(r"needs at least (\d+)", str(raised.value))
    for more in range(6):
        budget = Budget(measurements=int(needed) + more)
        result, _ = run("expected_gain", SearchSettings(budget=budget))
        assert compose(GRAPH, result.timed_candidates, Overheads()).total_s > 0


def test_when_time_is_over_there_is_a_plan() -> None:
    result, _ = run("expected_gain", SearchSettings(budget=Budget(seconds=1e-9)))
    assert all(one.request.is_needed for one in result.asked)
    assert compose(GRAPH, result.timed_candidates, Overheads()).total_s > 0


def test_layers_of_few_samples_get_their_most_promising_in_the_end() -> None:
    result, _ = run("expected_gain", SearchSettings(layer_budget=2))
    last = [one for one in result.asked if "candidates of its layer" in one.request.reason]
    assert last
    for one in last:
        same = [other for other in result.asked if other.sample.candidate.spec == one.sample.candidate.spec]
        before = [other.sample.time_s for other in same if other.round < one.round]
        assert len(before) < len(same) <= EXACT.least
        assert one.predicted.time_s <= PROMISING * min(before)


def test_an_unknown_strategy_lists_the_known() -> None:
    with pytest.raises(StrategyError, match=r"'guess'.*expected_gain.*successive"):
        strategy_named("guess", SearchSettings())
