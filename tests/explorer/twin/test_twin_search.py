"""Times of a twin, put right by a board that takes other times, on algorithms that follow a law."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import count

import pytest

from codegen.graph import LayerSpec
from codegen.schedule import Candidate
from cost_models.roofline import RooflineModel
from explorer.compose.compose import Composition, compose
from explorer.compose.problem import OUTSIDE_LAYOUT
from explorer.compose.steps import Overheads
from explorer.compose.timed_candidates import TimedCandidate, TimedCandidates, relayout_spec
from explorer.errors import CompositionError
from explorer.search.search import SearchResult
from explorer.strategies.through import times_through
from explorer.twin.probes import probed
from explorer.twin.search import TwinSettings, corrected
from explorer.twin.times import Corrected
from microbench.board import Fingerprint
from microbench.profile import load_profile
from microbench.store import Sample
from tests.explorer.fakes import FakeAlgorithm, FakeRelayout, Law, Rule, law_s
from tests.explorer.networks import graph_of

GRAPH = graph_of([(0,), (1,), (2,)], [3])
ALGORITHMS = (FakeAlgorithm("plain"), FakeAlgorithm("quick", "pixel16"), FakeRelayout("relayout"))
HOST = load_profile("host")
SPARED = TwinSettings()


def specs() -> tuple[LayerSpec, ...]:
    """The layers, and what moves their tensors."""
    layers = dict.fromkeys(LayerSpec.of(GRAPH, node) for node in GRAPH.nodes)
    ways = ((OUTSIDE_LAYOUT, "pixel16"), ("pixel16", OUTSIDE_LAYOUT))
    moves = {relayout_spec(tensor, *way): None for tensor in GRAPH.types.values() for way in ways}
    return (*layers, *moves)


def searched(law: Law = law_s) -> SearchResult:
    """Every candidate's time on the twin."""
    numbers = count(1)
    samples: list[Sample] = []
    target, fingerprint = HOST.target(), Fingerprint("twin", HOST.hash, 0.0, "twin 1")
    for spec in specs():
        for algorithm in (a for a in ALGORITHMS if a.computes(spec, target)):
            for point in algorithm.space(spec, target).points():
                candidate = Candidate(spec, algorithm.choice_at(spec, target, point))
                work = algorithm.work(spec, target, candidate.choice)
                times_s = (law(candidate),)
                samples.append(
                    Sample(candidate, fingerprint, "simulated", "ok", times_s, work, id=next(numbers))
                )
    ways = {
        spec: tuple(
            TimedCandidate(s.candidate, s.time_s, s.kind, s.id) for s in samples if s.candidate.spec == spec
        )
        for spec in specs()
    }
    return SearchResult(ways, tuple(samples), RooflineModel(HOST), (), len(samples), 1)


@dataclass
class Found:
    """What came of it, and what the board was asked."""

    twin: SearchResult
    corrected: Corrected
    asked: list[Candidate] = field(default_factory=list)

    @property
    def times_s(self) -> Mapping[Candidate, float]:
        ways = self.corrected.result.timed_candidates.values()
        return {way.candidate: way.time_s for of_one in ways for way in of_one}


def composed(timed: TimedCandidates) -> Composition:
    return compose(GRAPH, timed, Overheads())


def through_s(timed: TimedCandidates) -> Mapping[Candidate, float]:
    return times_through(GRAPH, timed, Overheads())


def found(
    law: Law,
    fails: Rule = lambda candidate: False,
    settings: TwinSettings = SPARED,
    probes: int | None = None,
    twins_law: Law = law_s,
) -> Found:
    twin, asked = searched(twins_law), list[Candidate]()
    known = {sample.candidate: sample for sample in twin.samples}

    def measure(candidates: Sequence[Candidate]) -> list[Sample]:
        first = 1001 + len(asked)
        asked.extend(candidates)
        return [
            replace(
                known[candidate],
                fingerprint=Fingerprint("real", HOST.hash, 0.0, "real 1"),
                kind="silicon",
                status="failed" if fails(candidate) else "ok",
                times_s=() if fails(candidate) else (law(candidate),),
                id=number,
            )
            for number, candidate in enumerate(candidates, first)
        ]

    if probes is None:
        return Found(twin, corrected(twin, HOST, measure, composed, settings), asked)
    return Found(twin, probed(twin, HOST, measure, composed, through_s, probes), asked)


def test_every_time_of_the_last_plan_is_the_boards() -> None:
    result = found(lambda candidate: 1.3 * law_s(candidate))
    samples = {sample.id: sample for sample in result.corrected.result.samples}
    for step in result.corrected.compositions[-1].steps:
        if not step.is_free:
            assert samples[step.timed.sample_id].fingerprint.board == "real"
            assert step.timed.time_s == pytest.approx(1.3 * law_s(step.timed.candidate))
    assert {sample.fingerprint.board for sample in samples.values()} == {"real", "twin"}
    assert len(samples) == len(result.twin.samples)


def test_the_board_is_asked_of_little() -> None:
    result = found(lambda candidate: 1.3 * law_s(candidate))
    of_layers = [c for c in result.asked if c.choice.algorithm in ("plain", "quick")]
    layers = len({LayerSpec.of(GRAPH, node) for node in GRAPH.nodes})
    assert 0 < len(of_layers) <= (SPARED.best + 1) * layers < len(result.twin.samples)


def test_what_the_board_was_not_asked_of_takes_its_algorithms_share() -> None:
    def law(candidate: Candidate) -> float:
        return (3.0 if candidate.choice.algorithm == "quick" else 2.0) * law_s(candidate)

    result = found(law)
    quick = [c for c in result.times_s if c.choice.algorithm == "quick" and c not in result.asked]
    assert quick
    for candidate in quick:
        assert result.times_s[candidate] == pytest.approx(3.0 * law_s(candidate), rel=0.1)


def test_the_plan_changes_where_the_board_takes_other_times_than_the_twin() -> None:
    def slower(candidate: Candidate) -> float:
        return (5.0 if candidate.choice.algorithm == "plain" else 1.0) * law_s(candidate)

    result = found(slower)
    first, last = result.corrected.compositions[0], result.corrected.compositions[-1]
    assert {step.timed.candidate.choice.algorithm for step in first.steps if step.node} == {"plain"}
    assert {step.timed.candidate.choice.algorithm for step in last.steps if step.node} == {"quick"}


def test_candidates_that_fail_on_the_board_are_not_taken() -> None:
    result = found(law_s, fails=lambda candidate: candidate.choice.algorithm == "plain")
    last = result.corrected.compositions[-1]
    assert {step.timed.candidate.choice.algorithm for step in last.steps if step.node} == {"quick"}


def test_a_board_on_which_nothing_works_has_no_plan() -> None:
    with pytest.raises(CompositionError):
        found(law_s, fails=lambda candidate: True)
