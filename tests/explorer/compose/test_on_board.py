"""Compositions within GPU memory and the limits of launches, against every composition of small problems."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import accumulate

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from codegen.graph import Graph, LayerSpec
from codegen.schedule import Candidate
from explorer.compose.compose import UNLIMITED, Composition, compose
from explorer.compose.footprint import Footprint, FootprintOf
from explorer.compose.on_board import compose_on
from explorer.compose.steps import ComposedStep, Overheads, starts_launch
from explorer.compose.timed_candidates import relayout_spec
from explorer.errors import CompositionError
from microbench.profile import load_profile
from tests.explorer.compositions import Steps, Table, cost, every_composition, every_cut, problems
from tests.explorer.held_memory import held_memory
from tests.explorer.networks import LAYOUTS, graph_of, timed

ENDLESS = replace(load_profile("pi-zero").target(), launch_limit_s=1e9)


def footprints(numbers: Sequence[int], marks: int = 1, parts: int = 1) -> FootprintOf:
    """Some bytes for each candidate, by its number among its layer's and by its interface."""

    def of(candidate: Candidate) -> Footprint:
        choice = candidate.choice
        place = choice.tiles["tag"] + len(choice.input_layouts) + 2 * (choice.output_layout == "nchw")
        return Footprint(numbers[place % len(numbers)], marks, parts)

    return of


def launched(steps: Steps) -> Iterator[ComposedStep]:
    return (step for step in steps if not step.is_free and step.timed.engine.launches)


def needed(graph: Graph, steps: Steps, of: FootprintOf) -> int:
    return held_memory(graph, steps)[0] + sum(of(s.timed.candidate).kept_bytes for s in launched(steps))


def is_best(found: Composition, expected: float) -> bool:
    """Whether it is no better than anything, and by no more worse than it says."""
    return found.total_s >= expected - 1e-9 and found.total_s * (1 - found.gap) <= expected + 1e-9


@settings(max_examples=100, deadline=None)
@given(
    problems(most_nodes=4, most_options=3),
    st.lists(st.sampled_from((0, 64, 640, 2048)), min_size=3, max_size=5),
    st.data(),
)
def test_weights_and_buffers_keep_within_gpu_memory(
    problem: tuple[Graph, Table, float], kept: list[int], data: st.DataObject
) -> None:
    graph, table, launch_s = problem
    of = footprints(kept)
    every = [
        (cost(cut, launch_s), needed(graph, cut, of))
        for steps in every_composition(graph, table)
        for cut in every_cut(steps)
    ]
    assume(every)
    amounts = sorted({bytes_ for _, bytes_ in every})
    free = compose(graph, table, Overheads(launch_s))
    too_little = [bytes_ for bytes_ in amounts if 0 < bytes_ < needed(graph, free.steps, of)]
    room = data.draw(st.sampled_from(too_little or amounts[-1:])) - data.draw(st.sampled_from((0, 1)))
    assume(room > 0)
    target = replace(ENDLESS, gpu_memory_bytes=room)
    fitting = [spent for spent, bytes_ in every if bytes_ <= room]
    if not fitting:
        with pytest.raises(CompositionError, match="raise gpu_mem") as raised:
            compose_on(graph, table, Overheads(launch_s), UNLIMITED, target, of)
        named = re.search(r"found for is ([\d,]+) bytes", str(raised.value))
        assert named is not None and int(named[1].replace(",", "")) in amounts
        return
    found = compose_on(graph, table, Overheads(launch_s), UNLIMITED, target, of)
    assert needed(graph, found.steps, of) <= room
    assert found.total_s == pytest.approx(cost(found.steps, launch_s))
    assert is_best(found, min(fitting))


def holds(steps: Steps, limit_s: float) -> bool:
    """Whether every launch keeps within the limit."""
    numbers = accumulate(starts_launch(steps))
    spent: Counter[int] = Counter()
    for number, step in zip(numbers, steps, strict=True):
        if not step.is_free and step.timed.engine.launches:
            spent[number] += int(step.time_s)
    return all(seconds <= limit_s for seconds in spent.values())


@settings(max_examples=80, deadline=None)
@given(problems(most_nodes=4, most_options=3), st.sampled_from((20, 30, 1000)))
def test_a_launch_that_its_limit_asks_for_has_its_price(
    problem: tuple[Graph, Table, float], limit_s: int
) -> None:
    graph, table, launch_s = problem
    every = [
        cost(cut, launch_s)
        for steps in every_composition(graph, table)
        for cut in every_cut(steps)
        if holds(cut, limit_s)
    ]
    assume(every)
    target = replace(ENDLESS, launch_limit_s=float(limit_s))
    found = compose_on(graph, table, Overheads(launch_s), UNLIMITED, target, footprints((0,)))
    assert holds(found.steps, limit_s)
    assert found.total_s == pytest.approx(cost(found.steps, launch_s))
    assert found.launches == sum(starts_launch(found.steps))
    assert (found.gpu_bytes, found.arena_bytes) == held_memory(graph, found.steps)
    assert is_best(found, min(every))


@pytest.mark.parametrize(("marks", "launches"), [(1, 1), (2, 2)])
def test_layers_of_two_phases_count_twice_in_a_launch(marks: int, launches: int) -> None:
    layers = 300
    graph = graph_of([(i,) for i in range(layers)], [layers])
    table = {}
    for node in graph.nodes:
        spec = LayerSpec.of(graph, node)
        table[spec] = (timed(spec, "videocore4", ("pixel16",), "pixel16", 1.0),)
    for source, target in (LAYOUTS, LAYOUTS[::-1]):
        spec = relayout_spec(graph.types["t0"], source, target)
        table[spec] = (timed(spec, "cpu", (source,), target, 1.0),)
    found = compose_on(graph, table, Overheads(5.0), UNLIMITED, ENDLESS, footprints((0,), marks))
    assert (found.launches, found.total_s) == (launches, layers + 2 + 5.0 * launches)


@pytest.mark.parametrize(
    ("time_s", "phases", "engine", "launches"),
    [(2.0, 1, "videocore4", 3), (2.0, 2, "videocore4", 6), (0.9, 1, "videocore4", 2), (2.7, 1, "cpu", 0)],
    ids=["each part alone", "phases apart", "two parts together", "parts too long"],
)
def test_a_layer_in_parts_may_take_longer_than_a_launch(
    time_s: float, phases: int, engine: str, launches: int
) -> None:
    graph = graph_of([(0,)], [1])
    (node,) = graph.nodes
    spec = LayerSpec.of(graph, node)
    table: Table = {
        spec: (
            timed(spec, "videocore4", ("pixel16",), "pixel16", time_s),
            timed(spec, "cpu", ("nchw",), "nchw", 9.0),
        )
    }
    for source, result in (LAYOUTS, LAYOUTS[::-1]):
        change = relayout_spec(graph.types["t0"], source, result)
        table[change] = (timed(change, "cpu", (source,), result, 0.125),)
    parts = 3
    of = footprints((0,), phases * parts, parts)
    target = replace(ENDLESS, launch_limit_s=0.8)
    found = compose_on(graph, table, Overheads(0.5), UNLIMITED, target, of)
    assert {step.timed.engine.name for step in found.steps if step.node is not None} == {engine}
    assert found.launches == launches
    assert found.total_s == (
        time_s + 0.25 + 0.5 if launches else 9.0
    )  # parts' overheads are in the layer's time
