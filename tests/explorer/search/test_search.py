from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from codegen.algorithm import Algorithm, algorithms
from codegen.chains import chain_nodes
from codegen.graph import Graph, LayerSpec
from codegen.operators.conv2d import Conv2d
from codegen.schedule import Candidate
from cost_models.residual import ResidualModel
from explorer.compose.compose import compose
from explorer.compose.steps import Overheads
from explorer.errors import SearchError
from explorer.measure.jobs import JobBuilder
from explorer.measure.measurer import Measurer, Tally
from explorer.measure.workers import Workers
from explorer.search.layer_search import SearchSettings
from explorer.search.search import SearchResult, search
from explorer.search.state import Searched, SearchState
from explorer.strategies.successive import Successive
from explorer.terminal.progress import Silent
from microbench.board import Board, Job, Measurement
from microbench.errors import BoardError
from microbench.store import Store
from tests.codegen.planned import GraphBuilder
from tests.explorer.fakes import FakeAlgorithm, FakeBoard, FakeRelayout, law_s
from tests.explorer.networks import graph_of

GRAPH = graph_of([(0,), (1,), (2,)], [3])
ALGORITHMS = (FakeAlgorithm("plain"), FakeAlgorithm("quick", "pixel16"), FakeRelayout("relayout"))
SETTINGS = SearchSettings(initial=3, layer_budget=12, batch=3, rounds=4)


def run(
    board: FakeBoard,
    store_path: Path,
    algorithms: Sequence[Algorithm] = ALGORITHMS,
    settings: SearchSettings = SETTINGS,
    graph: Graph = GRAPH,
    boards: int = 1,
) -> tuple[SearchResult, Tally]:
    jobs = JobBuilder(board.target, 0, {algorithm.name: algorithm for algorithm in algorithms})
    owned: list[Board] = [board] * boards
    with Store.open(store_path) as store, Workers(owned) as workers:
        measurer = Measurer(workers, jobs, store, board.fingerprint(), Silent())
        searched = Searched(graph, jobs, board.profile)
        strategy = Successive(settings)
        result = search(searched, ResidualModel(board.profile), measurer, strategy, settings, Silent())
        return result, measurer.tally


def test_it_finds_the_fastest_without_measuring_everything(tmp_path: Path) -> None:
    result, tally = run(FakeBoard(law_s), tmp_path / "s.sqlite")
    for node in GRAPH.nodes:
        best = min(result.timed_candidates[LayerSpec.of(GRAPH, node)], key=lambda o: o.time_s)
        assert best.candidate.choice.algorithm == "quick"
        assert best.time_s < 1.25 * 0.5e-4
    assert 0 < tally.measured < result.candidates


def test_the_second_run_measures_nothing_and_finds_the_same(tmp_path: Path) -> None:
    first, _ = run(FakeBoard(law_s), tmp_path / "s.sqlite")
    second, tally = run(FakeBoard(law_s, limit=0), tmp_path / "s.sqlite")
    assert tally.measured == 0 and tally.known == len(second.samples)
    assert second.timed_candidates == first.timed_candidates
    assert second.unseen == first.unseen and len(first.unseen) == len(first.observations)


@pytest.mark.parametrize("limit", [1, 7, 20])
def test_an_interrupted_run_goes_on_where_it_stopped(tmp_path: Path, limit: int) -> None:
    whole, _ = run(FakeBoard(law_s), tmp_path / "whole.sqlite")
    with pytest.raises(KeyboardInterrupt):
        run(FakeBoard(law_s, limit=limit), tmp_path / "parts.sqlite")
    with Store.open(tmp_path / "parts.sqlite") as store:
        assert store.count() == limit
    resumed, tally = run(FakeBoard(law_s), tmp_path / "parts.sqlite")
    assert tally.measured == len(whole.samples) - limit
    assert resumed.timed_candidates == whole.timed_candidates


def test_several_boards_store_in_the_order_of_one(tmp_path: Path) -> None:
    one, _ = run(FakeBoard(law_s), tmp_path / "one.sqlite")
    two, _ = run(FakeBoard(law_s), tmp_path / "two.sqlite", boards=2)
    assert [s.id for s in two.samples] == [s.id for s in one.samples]
    assert two.timed_candidates == one.timed_candidates


def test_bad_candidates_are_recorded_skipped_and_not_tried_again(tmp_path: Path) -> None:
    board = FakeBoard(
        law_s, wrong=lambda c: c.choice.tiles["rows"] == 2, fails=lambda c: c.choice.tiles["rows"] == 1
    )
    result, tally = run(board, tmp_path / "s.sqlite")
    assert tally.wrong > 0 and tally.failed > 0
    chosen = [
        o
        for timed_candidates in result.timed_candidates.values()
        for o in timed_candidates
        if o.candidate.choice.algorithm != "relayout"
    ]
    assert {o.candidate.choice.tiles["rows"] for o in chosen} <= {0, 3}
    messages = {s.status: s.message for s in result.samples if s.status != "ok"}
    assert "largest output" in messages["wrong"] and "does not fit" in messages["failed"]
    assert run(FakeBoard(law_s, limit=0), tmp_path / "s.sqlite")[1].measured == 0


def test_budgets_bound_what_a_layer_may_cost(tmp_path: Path) -> None:
    settings = SearchSettings(initial=2, layer_budget=5, batch=2, rounds=9)
    result, _ = run(FakeBoard(law_s), tmp_path / "s.sqlite", settings=settings)
    per_spec: dict[LayerSpec, int] = {}
    for sample in result.samples:
        per_spec[sample.candidate.spec] = per_spec.get(sample.candidate.spec, 0) + 1
    assert max(per_spec.values()) <= 5


def test_a_space_too_large_to_enumerate_is_sampled(tmp_path: Path) -> None:
    algorithms = (FakeAlgorithm("quick", sides=40, holes=frozenset({7})), FakeRelayout("relayout"))
    settings = SearchSettings(enumerate_limit=100, first_trials=30, trials_per_round=8, rounds=4)
    graph = graph_of([(0,)], [1])
    result, _ = run(FakeBoard(law_s), tmp_path / "s.sqlite", algorithms, settings, graph)
    assert 20 < result.candidates < 100
    again, tally = run(FakeBoard(law_s, limit=0), tmp_path / "s.sqlite", algorithms, settings, graph)
    assert tally.measured == 0 and again.timed_candidates == result.timed_candidates


def test_a_space_with_few_candidates_is_enumerated(tmp_path: Path) -> None:
    quick = FakeAlgorithm("quick", sides=30, holes=frozenset(range(3, 30)))
    algorithms = (quick, FakeRelayout("relayout"))
    settings = SearchSettings(enumerate_limit=100, first_trials=1, trials_per_round=1, rounds=2)
    result, _ = run(FakeBoard(law_s), tmp_path / "s.sqlite", algorithms, settings, graph_of([(0,)], [1]))
    assert result.candidates == 3 * 30


def test_a_layer_nobody_can_compute_is_named(tmp_path: Path) -> None:
    with pytest.raises(SearchError, match=r"'n0'.*Map.*explore algorithms"):
        run(FakeBoard(law_s), tmp_path / "s.sqlite", [FakeRelayout("relayout")])


def test_a_layer_whose_candidates_all_fail_is_named_with_the_reason(tmp_path: Path) -> None:
    with pytest.raises(SearchError, match=r"'n0'.*does not fit"):
        run(FakeBoard(law_s, fails=lambda _: True), tmp_path / "s.sqlite")


def test_a_fault_of_the_board_ends_the_run_and_keeps_the_samples(tmp_path: Path) -> None:
    class Vanishing(FakeBoard):
        def measure(self, job: Job) -> Measurement:
            if len(self.measured) == 4:
                raise BoardError("the board is gone")
            return super().measure(job)

    with pytest.raises(BoardError, match="gone"):
        run(Vanishing(law_s), tmp_path / "s.sqlite")
    with Store.open(tmp_path / "s.sqlite") as store:
        assert store.count() == 4


def test_the_result_composes_with_its_relayouts(tmp_path: Path) -> None:
    def cheap_s(candidate: Candidate) -> float:
        return 1e-6 if candidate.choice.algorithm == "relayout" else law_s(candidate)

    def dear_s(candidate: Candidate) -> float:
        return 1.0 if candidate.choice.algorithm == "relayout" else law_s(candidate)

    for law, expected in ((cheap_s, ["relayout", *["quick"] * 3, "relayout"]), (dear_s, ["plain"] * 3)):
        result, _ = run(FakeBoard(law), tmp_path / f"{law.__name__}.sqlite")
        found = compose(GRAPH, result.timed_candidates, Overheads())
        assert [step.timed.candidate.choice.algorithm for step in found.steps] == expected


def test_a_layer_that_was_measured_as_a_member_of_a_chain_alone_is_no_obstacle(tmp_path: Path) -> None:
    build = GraphBuilder("separable", (1, 20, 7, 6))
    window = build.add(
        Conv2d((3, 3), pads=(1, 1, 1, 1), groups=20), "x", [(20, 1, 3, 3), (20,)], name="window"
    )
    graph = build.build(build.add(Conv2d((1, 1)), window, [(26, 20, 1, 1), (26,)]))
    (chain,) = chain_nodes(graph)
    board = FakeBoard(lambda _: 1e-4)
    jobs = JobBuilder(board.target, 0, algorithms())
    state = SearchState(Searched(graph, jobs, board.profile), ResidualModel(board.profile), SETTINGS)
    with pytest.raises(SearchError, match="'window'"):
        state.require_timed()
    owned: list[Board] = [board]
    with Store.open(tmp_path / "s.sqlite") as store, Workers(owned) as workers:
        measurer = Measurer(workers, jobs, store, board.fingerprint(), Silent())
        candidates = state.layers[LayerSpec.of(graph, chain.node)].candidates
        state.record(measurer.samples(candidates[:1]))
    state.require_timed()
