from __future__ import annotations

import pytest

from codegen.graph import Graph, LayerSpec
from explorer.compose.compose import compose
from explorer.compose.problem import Problem
from explorer.compose.steps import Overheads, Prices
from explorer.compose.timed_candidates import TimedCandidate, relayout_spec
from explorer.strategies.through import Through, times_through
from tests.explorer.networks import LAYOUTS, graph_of, timed

OVERHEADS = Overheads(launch_s=0.7)
GRAPHS = {
    "chain": graph_of([(0,), (1,), (2,), (3,)], [4]),
    "branches": graph_of([(0,), (1,), (1,), (2, 3), (4,)], [5]),
}


def ways_of(graph: Graph) -> dict[LayerSpec, tuple[TimedCandidate, ...]]:
    """Two engines, two layouts, times without a pattern."""
    ways: dict[LayerSpec, tuple[TimedCandidate, ...]] = {}
    for number, node in enumerate(graph.nodes):
        spec = LayerSpec.of(graph, node)
        ways[spec] = tuple(
            timed(
                spec,
                engine,
                (layout,) * len(node.inputs),
                layout,
                1.0 + (37 * number + 11 * tag) % 13 / 7,
                tag,
            )
            for tag, (engine, layout) in enumerate(
                [("cpu", "nchw"), ("cpu", "pixel16"), ("videocore4", "pixel16")]
            )
        )
    for source in LAYOUTS:
        for target in LAYOUTS:
            spec = relayout_spec(graph.types["t0"], source, target)
            if source != target:
                ways[spec] = (timed(spec, "cpu", (source,), target, 0.3),)
    return ways


@pytest.mark.parametrize("name", GRAPHS)
def test_the_network_through_a_way_is_the_best_without_its_rivals(name: str) -> None:
    graph = GRAPHS[name]
    ways = ways_of(graph)
    found = times_through(graph, ways, OVERHEADS)
    assert len(found) == 3 * len(graph.nodes)
    for candidate, time_s in found.items():
        alone = tuple(way for way in ways[candidate.spec] if way.candidate == candidate)
        assert time_s == pytest.approx(compose(graph, {**ways, candidate.spec: alone}, OVERHEADS).total_s)


def test_what_is_best_lies_on_the_best_network() -> None:
    graph = GRAPHS["chain"]
    ways = ways_of(graph)
    through = Through(Problem(graph, ways, Prices(OVERHEADS), None))
    best_s = compose(graph, ways, OVERHEADS).total_s
    assert through.best_s == pytest.approx(best_s)
    assert min(times_through(graph, ways, OVERHEADS).values()) == pytest.approx(best_s)
