"""Two layers of a fast plan at the same time: what is measured last, as it takes choices that the plan has."""

from __future__ import annotations

from codegen.chains import neighbours, node_side_by_side
from codegen.graph import LayerSpec
from codegen.operators.side_by_side import SideBySide
from codegen.schedule import Candidate
from explorer.compose.compose import compose
from explorer.search.request import Request
from explorer.search.state import SearchState

LEAST_SHARE = 0.002  # of the network's time that the shorter layer takes, of which only a part can be saved
WORST_BALANCE = 1.2  # of the work: what waits for its busiest element longer than that gains nothing

REASON = "neither layer waits for the other in the fastest plan: both may go on at the same time"


def side_by_side(state: SearchState) -> list[Request]:
    """Of every two layers that follow each other in the graph, and do not depend on each other, the ways to compute
    them at the same time by the choices of the fastest plan; the state has them as layers from then on.

    Raises CompositionError where what was measured makes no plan.
    """
    graph = state.graph
    if not _any_way(state):
        return []
    plan = compose(graph, state.timed_candidates, state.overheads)
    chosen = {step.node.name: step.timed for step in plan.steps if step.node is not None and not step.is_free}
    found: dict[Candidate, Request] = {}
    for first, second in neighbours(graph):
        ways = [
            chosen[node.name] for node in (graph.nodes[first], graph.nodes[second]) if node.name in chosen
        ]
        if len(ways) < 2 or min(way.time_s for way in ways) < LEAST_SHARE * plan.total_s:
            continue
        both = node_side_by_side(graph, first, SideBySide(tuple(way.candidate for way in ways)))
        layer = None if both is None else state.consider(LayerSpec.of(graph, both.node))
        for candidate in () if layer is None else layer.unmeasured:
            if state.work(candidate).balance <= WORST_BALANCE:
                found[candidate] = Request(candidate, REASON)
    return list(found.values())


def _any_way(state: SearchState) -> bool:
    """Whether some algorithm computes two layers of the graph by some of their ways, of one engine."""
    graph, timed = state.graph, state.timed_candidates
    for first, second in neighbours(graph):
        by_engine = [
            {way.candidate.choice.engine: way.candidate for way in timed[LayerSpec.of(graph, graph.nodes[n])]}
            for n in (first, second)
        ]
        for engine in by_engine[0].keys() & by_engine[1].keys():
            both = node_side_by_side(graph, first, SideBySide(tuple(ways[engine] for ways in by_engine)))
            if both is not None and state.computes(LayerSpec.of(graph, both.node)):
                return True
    return False
