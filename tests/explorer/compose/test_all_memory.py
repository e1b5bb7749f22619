"""Compositions within a cap on all memory, against every composition of small problems."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from codegen.bundle.memory import MemoryUse
from codegen.graph import Graph
from explorer.compose.all_memory import AllMemory
from explorer.compose.compose import Composition, Limits, compose
from explorer.compose.steps import Overheads
from explorer.compose.timed_candidates import TimedCandidate, TimedCandidates
from explorer.errors import TooLittleMemoryError
from tests.explorer.compositions import Steps, Table, cost, every_composition, every_cut, problems
from tests.explorer.held_memory import held_memory


def kept_by(numbers: Sequence[int], way: TimedCandidate) -> int:
    """Some bytes for each candidate, by its number among its layer's and by its interface, on either engine."""
    choice = way.candidate.choice
    place = choice.tiles["tag"] + len(choice.input_layouts) + 2 * (choice.output_layout == "nchw")
    return numbers[(place + (choice.engine == "cpu")) % len(numbers)]


def needed(graph: Graph, steps: Steps, numbers: Sequence[int]) -> int:
    kept = sum(kept_by(numbers, step.timed) for step in steps if not step.is_free)
    return sum(held_memory(graph, steps)) + kept


def held(found: Composition) -> MemoryUse:
    return MemoryUse(found.gpu_bytes, found.arena_bytes)


@settings(max_examples=100, deadline=None)
@given(
    problems(most_nodes=4, most_options=3),
    st.lists(st.sampled_from((0, 64, 640, 2048)), min_size=3, max_size=5),
    st.data(),
)
def test_all_that_a_plan_takes_keeps_within_a_cap(
    problem: tuple[Graph, Table, float], numbers: list[int], data: st.DataObject
) -> None:
    graph, table, launch_s = problem
    every = [
        (cost(cut, launch_s), needed(graph, cut, numbers))
        for steps in every_composition(graph, table)
        for cut in every_cut(steps)
    ]
    assume(every)
    amounts = sorted({bytes_ for _, bytes_ in every})
    free = needed(graph, compose(graph, table, Overheads(launch_s)).steps, numbers)
    too_little = [bytes_ for bytes_ in amounts if bytes_ < free]
    cap = data.draw(st.sampled_from(too_little or amounts[-1:])) - data.draw(st.sampled_from((0, 1)))

    def composed(ways: TimedCandidates, limits: Limits) -> Composition:
        return compose(graph, ways, Overheads(launch_s), limits)

    memory = AllMemory(held, partial(kept_by, numbers))
    within = partial(memory.compose_within, cap, table, Overheads(launch_s), Limits(), composed)
    fitting = [spent for spent, bytes_ in every if bytes_ <= cap]
    if not fitting:
        with pytest.raises(TooLittleMemoryError) as raised:
            within()
        assert raised.value.least_bytes in amounts
        return
    found = within()
    assert memory.of(found) == needed(graph, found.steps, numbers) <= cap
    assert found.total_s == pytest.approx(cost(found.steps, launch_s))
    assert found.total_s >= min(fitting) - 1e-9
    assert found.total_s * (1 - found.gap) <= min(fitting) + 1e-9
    assert not any(step.timed.charge for step in found.steps)
