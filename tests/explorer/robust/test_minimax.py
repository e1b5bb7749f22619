from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from codegen.graph import Graph, LayerSpec
from codegen.schedule import Candidate
from explorer.compose.compose import compose
from explorer.compose.steps import Overheads, starts_launch
from explorer.robust.minimax import Scenario, least_regret
from tests.explorer.compositions import Steps, Table, every_composition, problems
from tests.explorer.networks import graph_of, timed

ROUNDING = 1 + 1e-9


def under(table: Table, factors: Mapping[Candidate, float]) -> Table:
    """The same candidates with other times."""
    return {
        spec: tuple(replace(way, time_s=way.time_s * factors[way.candidate]) for way in ways)
        for spec, ways in table.items()
    }


def total_s(steps: Steps, scenario: Scenario) -> float:
    times = {way.candidate: way.time_s for ways in scenario.timed_candidates.values() for way in ways}
    layers = sum(times[step.timed.candidate] for step in steps if not step.is_free)
    return layers + sum(starts_launch(steps)) * scenario.overheads.launch_s


@settings(max_examples=80, deadline=None)
@given(problems(most_nodes=4), st.data())
def test_bound_and_worst_ratio_enclose_the_least_regret(
    problem: tuple[Graph, Table, float], data: st.DataObject
) -> None:
    graph, table, launch_s = problem
    candidates = [way.candidate for ways in table.values() for way in ways]
    scenarios = [Scenario("as in the profile", table, Overheads(launch_s))]
    for name in ("first", "second"):
        factors = {one: data.draw(st.sampled_from((0.25, 0.5, 1.0, 2.0, 3.0))) for one in candidates}
        scenarios.append(Scenario(name, under(table, factors), Overheads(2 * launch_s)))
    every = list(every_composition(graph, table))
    assume(every)
    best_s = [min(total_s(steps, scenario) for steps in every) for scenario in scenarios]
    assume(min(best_s) > 0)
    ratios = [
        max(total_s(steps, scenario) / best for scenario, best in zip(scenarios, best_s, strict=True))
        for steps in every
    ]
    composition, found = least_regret(scenarios, partial(compose, graph))
    assert [one.best_s for one in found.under] == pytest.approx(best_s)
    assert found.bound <= min(ratios) * ROUNDING
    assert min(ratios) <= found.worst * ROUNDING
    assert found.worst <= found.own_best * ROUNDING
    steps = composition.steps
    assert [one.time_s for one in found.under] == pytest.approx([total_s(steps, s) for s in scenarios])
    assert composition.total_s == pytest.approx(found.under[0].time_s)


def test_one_layer_that_bets_on_no_profile() -> None:
    graph = graph_of([(0,)], [1])
    (node,) = graph.nodes
    spec = LayerSpec.of(graph, node)
    ways = [timed(spec, "cpu", ("nchw",), "nchw", 1.0, tag) for tag in range(3)]
    times = {"slow lines": (1.0, 2.0, 1.1), "fast lines": (2.0, 1.0, 1.2)}
    scenarios = [
        Scenario(
            name,
            {spec: tuple(replace(way, time_s=time_s) for way, time_s in zip(ways, of_one, strict=True))},
            Overheads(),
        )
        for name, of_one in times.items()
    ]
    composition, found = least_regret(scenarios, partial(compose, graph))
    assert dict(composition.steps[0].timed.candidate.choice.tile)["tag"] == 2
    assert [(one.time_s, one.best_s) for one in found.under] == [(1.1, 1.0), (1.2, 1.0)]
    assert found.worst == pytest.approx(1.2)
    assert found.own_best == pytest.approx(2.0)
    assert found.bound <= 1.2


def test_one_profile_has_no_gap() -> None:
    graph = graph_of([(0,)], [1])
    (node,) = graph.nodes
    spec = LayerSpec.of(graph, node)
    ways = tuple(timed(spec, "cpu", ("nchw",), "nchw", time_s, int(time_s)) for time_s in (3.0, 2.0))
    _, found = least_regret([Scenario("alone", {spec: ways}, Overheads())], partial(compose, graph))
    assert (found.worst, found.gap, found.compositions) == (1.0, 0.0, 1)


def test_no_profile_is_refused() -> None:
    with pytest.raises(ValueError, match="no profile"):
        least_regret([], partial(compose, graph_of([(0,)], [1])))
