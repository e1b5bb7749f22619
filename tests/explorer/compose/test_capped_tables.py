from __future__ import annotations

import pytest

from codegen.graph import Graph
from explorer.compose.capped import cheapest_within
from explorer.compose.capped_tables import CappedTables
from explorer.compose.compose import Limits, compose
from explorer.compose.effort import Effort
from explorer.compose.held import Caps
from explorer.compose.problem import Problem
from explorer.compose.steps import Prices
from explorer.compose.suffixes import Suffixes
from explorer.studies.composition_graphs import OVERHEADS, chain, inception, residual, synthetic_times


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
    beams = cheapest_within(problem, suffixes, suffixes.solve(), caps, effort)
    label = CappedTables(problem, caps, effort).solve()
    assert beams is not None and label is not None
    assert beams.gap == 0
    assert label.cost == pytest.approx(beams.price)
    assert label.cost > free.total_s


def test_blocks_of_branches_within_a_cap_are_exact() -> None:
    graph = inception(4)
    times = synthetic_times(graph, 0, qpus=False)
    cap = 0.5 * compose(graph, times, OVERHEADS).arena_bytes
    found = compose(graph, times, OVERHEADS, Limits(caps=Caps(arena_bytes=cap)))
    assert found.gap == 0 and found.arena_bytes <= cap
