from __future__ import annotations

from dataclasses import replace

import pytest

from codegen.graph import Graph, LayerSpec
from codegen.tensor import TensorType
from explorer.compose.capped import CappedSearch
from explorer.compose.capped_tables import CappedTables
from explorer.compose.compose import Limits, compose
from explorer.compose.effort import Effort
from explorer.compose.held import Caps
from explorer.compose.least_held import least_held_bytes, may_keep
from explorer.compose.prefixes import Prefixes
from explorer.compose.problem import Problem
from explorer.compose.steps import Overheads, Prices
from explorer.compose.suffixes import Suffixes
from explorer.compose.timed_candidates import TimedCandidate, relayout_spec
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
from tests.explorer.networks import graph_of, timed


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


def test_a_long_chain_whose_price_is_far_above_the_bound_is_exact_with_little_effort() -> None:
    graph = chain(200)
    times = synthetic_times(graph, 0, qpus=False)
    free = compose(graph, times, OVERHEADS)
    caps = Caps(arena_bytes=0.5 * free.arena_bytes)
    found = compose(graph, times, OVERHEADS, Limits(caps=caps, seconds=0.4))
    assert found.gap == 0 and found.arena_bytes <= caps.arena_bytes
    assert found.total_s > 1.2 * free.total_s


@pytest.mark.parametrize("qpus", [True, False])
def test_gpu_memory_leaves_no_room_where_no_step_needs_it(qpus: bool) -> None:
    graph = unet(6)
    problem = Problem(graph, synthetic_times(graph, 0, qpus), Prices(OVERHEADS), None)
    least = least_held_bytes(problem)
    assert may_keep(problem, Caps(arena_bytes=least))
    assert may_keep(problem, Caps(arena_bytes=least - 1)) is qpus


def test_values_that_are_no_planes_are_held_as_they_are() -> None:
    """A layout in blocks has no place for a scalar."""
    graph = unet(3)
    problem = Problem(graph, synthetic_times(graph, 0, qpus=False), Prices(OVERHEADS), None)
    assert len(problem.layouts) > 1
    further = replace(graph, types={**graph.types, "scalar": TensorType(())})
    with_scalar = Problem(further, synthetic_times(graph, 0, qpus=False), Prices(OVERHEADS), None)
    assert least_held_bytes(with_scalar) == least_held_bytes(problem) > 0


def test_a_copy_that_the_qpus_earn_may_spare_the_arena() -> None:
    """The first layer reads a copy that lies in GPU memory because the QPUs read it later: the arena stays empty."""
    graph = graph_of([(0,), (0, 1), (0,), (0, 1)], [2, 3, 4])
    ways: dict[LayerSpec, tuple[TimedCandidate, ...]] = {}
    offers: list[list[tuple[str, tuple[str, ...], float]]] = [
        [("cpu", ("nchw",), 3.0), ("cpu", ("pixel16",), 1.0)],
        [("cpu", ("nchw", "nchw"), 1.0), ("videocore4", ("pixel16", "nchw"), 1.0)],
        [("cpu", ("nchw",), 1.0)],
        [("videocore4", ("nchw", "nchw"), 1.0)],
    ]
    for node, offered in zip(graph.nodes, offers, strict=True):
        spec = LayerSpec.of(graph, node)
        ways[spec] = tuple(
            timed(spec, engine, layouts, "nchw", time_s, tag)
            for tag, (engine, layouts, time_s) in enumerate(offered)
        )
    for source, target in (("nchw", "pixel16"), ("pixel16", "nchw")):
        spec = relayout_spec(graph.types["t0"], source, target)
        ways[spec] = (timed(spec, "cpu", (source,), target, 1.0),) if source == "nchw" else ()
    found = compose(graph, ways, Overheads(0.0), Limits(caps=Caps(2560, 0)))
    assert found.total_s == pytest.approx(5.0) and found.gap == 0
    assert (found.gpu_bytes, found.arena_bytes) == (2560, 0)


def test_a_copy_that_the_qpus_turn_another_into_may_spare_the_arena() -> None:
    """The first layer writes into GPU memory as the QPUs change that copy's layout, and the CPU reads both there."""
    graph = graph_of([(0,), (1, 0), (1, 2)], [3])
    offers: list[list[tuple[tuple[str, ...], str]]] = [
        [(("nchw",), "pixel16")],
        [(("pixel16", "nchw"), "pixel16"), (("nchw", "nchw"), "nchw")],
        [(("pixel16", "pixel16"), "nchw")],
    ]
    ways: dict[LayerSpec, tuple[TimedCandidate, ...]] = {}
    for node, offered in zip(graph.nodes, offers, strict=True):
        spec = LayerSpec.of(graph, node)
        ways[spec] = tuple(timed(spec, "cpu", *layouts, 1.0, tag) for tag, layouts in enumerate(offered))
    for source, target in (("nchw", "pixel16"), ("pixel16", "nchw")):
        spec = relayout_spec(graph.types["t0"], source, target)
        engines = ("cpu", "videocore4") if source == "nchw" else ("videocore4",)
        ways[spec] = tuple(timed(spec, engine, (source,), target, 1.0) for engine in engines)
    found = compose(graph, ways, Overheads(0.0), Limits(caps=Caps(1408, 384)))
    assert found.total_s == pytest.approx(5.0) and found.gap == 0
    assert found.gpu_bytes <= 1408 and found.arena_bytes <= 384
