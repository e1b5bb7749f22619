"""Every trade of memory for time that a walk finds, against every composition of small problems."""

from __future__ import annotations

from typing import NamedTuple

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from codegen.bundle.memory import MemoryUse
from codegen.graph import Graph
from explorer.compose.compose import Composition, Limits, compose
from explorer.compose.held import Caps
from explorer.compose.known_compositions import KnownCompositions
from explorer.compose.memory_cap import compose_within
from explorer.compose.steps import Overheads
from explorer.errors import CompositionError
from explorer.front.walk import counted, walk
from explorer.objectives.usage import Usage
from tests.explorer.compositions import Table, cost, every_composition, every_cut, problems
from tests.explorer.held_memory import held_memory


class Point(NamedTuple):
    time_s: float
    memory_bytes: int


def held(found: Composition) -> MemoryUse:
    return MemoryUse(found.gpu_bytes, found.arena_bytes)


@settings(max_examples=40, deadline=None)
@given(problems(most_nodes=4, most_options=3), st.sampled_from((0.0, 0.05, 0.5)))
def test_a_walk_finds_every_trade_but_for_the_tolerance(
    problem: tuple[Graph, Table, float], tolerance: float
) -> None:
    graph, table, launch_s = problem
    every = {
        Point(cost(cut, launch_s), sum(held_memory(graph, cut)))
        for steps in every_composition(graph, table)
        for cut in every_cut(steps)
    }
    assume(every)
    known = KnownCompositions(lambda caps: compose(graph, table, Overheads(launch_s), Limits(caps=caps)))

    def cheapest_within(cap: int | None) -> Point | None:
        try:
            found = known(Caps()) if cap is None else compose_within(cap, known, held, Limits().price)
        except CompositionError:
            return None
        return Point(found.total_s, held(found).total_bytes)

    found = list(walk(cheapest_within, tolerance))
    assert {*found} <= every
    assert [one.memory_bytes for one in found] == sorted({one.memory_bytes for one in found}, reverse=True)
    for point in every:
        assert any(
            one.time_s <= point.time_s and one.memory_bytes * (1 - tolerance) <= point.memory_bytes
            for one in found
        ), point


def test_what_is_known_is_not_asked_for_again() -> None:
    asked: list[Caps] = []

    def composed(caps: Caps) -> Composition:
        asked.append(caps)
        if caps.gpu_bytes < 10:
            raise CompositionError("none")
        return Composition((), Usage(gpu_bytes=10, arena_bytes=20), 0)

    known = KnownCompositions(composed)
    assert known(Caps(50, 50)) is known(Caps(10, 20))
    assert asked == [Caps(50, 50)]
    known(Caps(50, 19))
    assert asked == [Caps(50, 50), Caps(50, 19)]
    for narrow in (Caps(9, 20), Caps(9, 20), Caps(8, 20)):
        with pytest.raises(CompositionError):
            known(narrow)
    assert asked[2:] == [Caps(9, 20)]


@pytest.mark.parametrize(
    ("memories", "told"), [((1000, 100, 10), [0, 4, 9]), ((10,), [0]), ((1000, 5), [0, 9])]
)
def test_a_walk_tells_how_much_is_behind(memories: tuple[int, ...], told: list[int]) -> None:
    done: list[int] = []
    points = [Point(1.0, memory) for memory in memories]
    seen = [len(done) for _ in counted(points, 10, 10, lambda: done.append(1))]
    assert (seen, len(done)) == (told, 10)
