from __future__ import annotations

import pytest

from codegen.graph import Graph
from explorer.compose.capped import CappedSearch
from explorer.compose.capped_tables import CappedTables
from explorer.compose.compose import Limits, compose
from explorer.compose.effort import Effort
from explorer.compose.held import Caps
from explorer.compose.prefixes import Prefixes
from explorer.compose.problem import Problem
from explorer.compose.steps import Prices
from explorer.compose.suffixes import Suffixes
from explorer.studies.composition_graphs import (
    OVERHEADS,
    SHAPES,
    branches,
    chain,
    inception,
    residual,
    synthetic_times,
    unet,
)


@pytest.mark.parametrize(
    ("graph", "qpus"), [(chain(5), True), (residual(2), True), (residual(3), False), (chain(6), False)]
)
def test_tables_of_what_is_held_and_beams_find_the_same_price(graph: Graph, qpus: bool) -> None:
    times = synthetic_times(graph, 1, qpus)
    free = compose(graph, times, OVERHEADS)
    caps = Caps(0.7 * free.gpu_bytes or float("inf"), 0.7 * free.arena_bytes or float("inf"))
    problem = Problem(graph, times, Prices(OVERHEADS), None)
    effort = Effort(60.0)
    suffixes = Suffixes(problem, 256, effort, by_margin=False)
    suffixes.solve()
    beams = CappedSearch(problem, caps, effort).by_beams(suffixes)
    label = CappedTables(problem, caps, effort).solve()
    assert beams is not None and label is not None
    assert beams.gap == 0
    assert label.cost == pytest.approx(beams.price)
    assert label.cost > free.total_s


@pytest.mark.parametrize(("graph", "qpus"), [(residual(2), True), (branches(2), True), (unet(3), False)])
@pytest.mark.parametrize("above", [1e-3, 0.05, 1.0])
def test_a_horizon_leaves_out_nothing_that_is_cheap_enough(graph: Graph, qpus: bool, above: float) -> None:
    times = synthetic_times(graph, 2, qpus)
    free = compose(graph, times, OVERHEADS)
    caps = Caps(0.7 * free.gpu_bytes or float("inf"), 0.9 * free.arena_bytes or float("inf"))
    problem = Problem(graph, times, Prices(OVERHEADS), None)
    effort = Effort(60.0)
    suffixes = Suffixes(problem, 256, effort, by_margin=False, complete=True)
    suffixes.solve()
    least = CappedTables(problem, caps, effort).solve()
    assert least is not None
    horizon = Prefixes(suffixes, least.cost * (1 + above), effort)
    found = CappedTables(problem, caps, effort, horizon).solve()
    assert found is not None and found.cost == pytest.approx(least.cost)
    nearer = Prefixes(suffixes, least.cost * (1 - 1e-6), effort)
    assert CappedTables(problem, caps, effort, nearer).solve() is None


def test_a_u_net_is_exact() -> None:
    graph = unet(6)
    assert compose(graph, synthetic_times(graph, 0, qpus=False), OVERHEADS).gap == 0


@pytest.mark.parametrize("name", ["inception-9", "branches-16"])
def test_half_the_memory_is_exact(name: str) -> None:
    graph = SHAPES[name]()
    times = synthetic_times(graph, 0)
    cap = 0.5 * compose(graph, times, OVERHEADS).gpu_bytes
    found = compose(graph, times, OVERHEADS, Limits(caps=Caps(gpu_bytes=cap)))
    assert found.gap == 0 and found.gpu_bytes <= cap


def test_blocks_of_branches_within_a_cap_are_exact() -> None:
    graph = inception(4)
    times = synthetic_times(graph, 0, qpus=False)
    cap = 0.5 * compose(graph, times, OVERHEADS).arena_bytes
    found = compose(graph, times, OVERHEADS, Limits(caps=Caps(arena_bytes=cap)))
    assert found.gap == 0 and found.arena_bytes <= cap
