"""Compositions with two layers at the same time: as cheap as if one took the time of both and the other none."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from codegen.chains import neighbours, node_side_by_side
from codegen.graph import Graph, LayerSpec
from codegen.operators.side_by_side import SideBySide
from codegen.schedule import Candidate, Choice
from explorer.compose.capped import CappedSearch
from explorer.compose.capped_tables import CappedTables
from explorer.compose.compose import Limits, compose
from explorer.compose.effort import Effort
from explorer.compose.held import Caps
from explorer.compose.problem import Problem
from explorer.compose.steps import Overheads, Prices
from explorer.compose.suffixes import Suffixes
from explorer.compose.timed_candidates import TimedCandidate, TimedCandidates
from explorer.solvers.composing import SOLVERS, compose_by
from explorer.studies.composition_graphs import GraphMaker, synthetic_times

AMPLE = Caps(1e12, 1e12)


def fork() -> Graph:
    """Three layers of one tensor, concatenated, with a layer behind them."""
    make = GraphMaker("fork")
    start = make.conv("x", 24)
    parts = [make.conv(start, channels, size) for channels, size in ((16, 3), (20, 1), (28, 3))]
    return make.graph(make.conv(make.concat(*parts), 8))


def pair_of(graph: Graph, first: int, ways: tuple[TimedCandidate, ...], time_s: float) -> TimedCandidate:
    op = SideBySide(tuple(way.candidate for way in ways))
    both = node_side_by_side(graph, first, op)
    assert both is not None
    choices = [way.candidate.choice for way in ways]
    choice = Choice(
        choices[0].engine,
        "fake",
        (),
        (),
        tuple(layout for one in choices for layout in one.input_layouts),
        tuple(layout for one in choices for layout in one.output_layouts),
    )
    return TimedCandidate(Candidate(LayerSpec.of(graph, both.node), choice), time_s, "modelled", 0)


def problem(
    graph: Graph, seed: int
) -> tuple[TimedCandidates, list[tuple[tuple[TimedCandidate, ...], TimedCandidate]]]:
    """Times of single layers and, for every two neighbours, two of their ways with one that does both."""
    rng, times = random.Random(seed), dict(synthetic_times(graph, seed, True))
    pairs = []
    for numbers in neighbours(graph):
        specs = [LayerSpec.of(graph, graph.nodes[n]) for n in numbers]
        for engine in ("videocore4", "cpu"):
            ways = tuple(
                rng.choice(
                    [one for one in times[spec] if one.candidate.choice.engine == engine and one.threads < 2]
                )
                for spec in specs
            )
            taken_s = rng.uniform(0.2, 1.0) * sum(way.time_s for way in ways)
            pairs.append((ways, pair_of(graph, numbers[0], ways, taken_s)))
    for _, both in pairs:
        times[both.candidate.spec] = (both,)
    return times, pairs


def least_s(
    graph: Graph, times: TimedCandidates, pairs: list[tuple[tuple[TimedCandidate, ...], TimedCandidate]]
) -> float:
    """The least of all plans with no pair, or with one: two would have a layer in common."""
    alone = {spec: ways for spec, ways in times.items() if not isinstance(spec.op, SideBySide)}
    found = [compose(graph, alone, Overheads()).total_s]
    for (first, second), both in pairs:
        forced = {
            first.candidate.spec: (replace(first, time_s=both.time_s),),
            second.candidate.spec: (replace(second, time_s=0.0, workspace_bytes=0),),
        }
        found.append(compose(graph, {**alone, **forced}, Overheads()).total_s)
    return min(found)


@pytest.mark.parametrize("seed", range(12))
def test_every_way_to_compose_finds_the_cheapest(seed: int) -> None:
    graph = fork()
    times, pairs = problem(graph, seed)
    wanted = least_s(graph, times, pairs)
    assert compose(graph, times, Overheads()).total_s == pytest.approx(wanted)
    assert compose(graph, times, Overheads(), Limits(caps=AMPLE)).total_s == pytest.approx(wanted)
    assert compose_by(SOLVERS["highs"], graph, times, Overheads(), 60.0).total_s == pytest.approx(wanted)
    composing, effort = Problem(graph, times, Prices(Overheads()), None), Effort(60.0)
    suffixes = Suffixes(composing, 256, effort, by_margin=False, complete=True)
    suffixes.solve()
    label = CappedTables(composing, AMPLE, effort).solve()
    beams = CappedSearch(composing, AMPLE, effort).by_beams(suffixes)
    assert label is not None and beams is not None and beams.gap == 0
    assert label.cost == pytest.approx(wanted)
    assert beams.price == pytest.approx(wanted)


def test_some_of_these_have_layers_at_the_same_time_and_some_have_not() -> None:
    graph = fork()
    found = set()
    for seed in range(12):
        plan = compose(graph, problem(graph, seed)[0], Overheads())
        found.add(any(isinstance(step.timed.candidate.spec.op, SideBySide) for step in plan.steps))
    assert found == {True, False}


def test_none_where_layers_are_not_computed_together() -> None:
    graph = fork()
    times, _ = problem(graph, 0)
    plan = compose(graph, times, Overheads(), Limits(chains=False))
    assert not any(isinstance(step.timed.candidate.spec.op, SideBySide) for step in plan.steps)


def test_both_may_be_parts_of_a_concatenation_in_place() -> None:
    graph = fork()
    times = dict(synthetic_times(graph, 3, True))
    first, second = (
        next(
            w for w in times[LayerSpec.of(graph, graph.nodes[n])] if w.candidate.choice.engine == "videocore4"
        )
        for n in (1, 2)
    )
    both = pair_of(graph, 1, (first, second), 1e-9)
    times[both.candidate.spec] = (both,)
    plan = compose(graph, times, Overheads(launch_s=1.0), Limits(engines=("videocore4",), caps=AMPLE))
    free = compose(graph, times, Overheads(launch_s=1.0), Limits(engines=("videocore4",)))
    for one in (plan, free):
        assert both in [step.timed for step in one.steps]
        assert [step.in_place for step in one.steps if step.node and step.node.name == "n4"] == [True]
