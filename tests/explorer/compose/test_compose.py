from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from codegen.bundle.memory import MemoryUse
from codegen.graph import Graph, LayerSpec
from explorer.compose.compose import Limits, compose
from explorer.compose.held import Caps
from explorer.compose.memory_cap import compose_within
from explorer.compose.steps import Overheads, starts_launch
from explorer.compose.timed_candidates import efficient, launchable, relayout_spec
from explorer.errors import CompositionError
from explorer.objectives.registry import weights_of
from microbench.profile import load_profile
from tests.explorer.compositions import Table, cost, every_composition, every_cut, problems
from tests.explorer.held_memory import held_memory
from tests.explorer.networks import LAYOUTS, graph_of, timed

MANY = settings(max_examples=2000, deadline=None, suppress_health_check=list(HealthCheck))


@settings(max_examples=80, deadline=None)
@given(problems())
def test_composition_is_exact(problem: tuple[Graph, Table, float]) -> None:
    compare_with_brute_force(*problem)


@pytest.mark.slow
@MANY
@given(problems())
def test_many_compositions_are_exact(problem: tuple[Graph, Table, float]) -> None:
    compare_with_brute_force(*problem)


def compare_with_brute_force(graph: Graph, table: Table, launch_s: float) -> None:
    expected = min((cost(steps, launch_s) for steps in every_composition(graph, table)), default=None)
    if expected is None:
        with pytest.raises(CompositionError, match="fits together"):
            compose(graph, table, Overheads(launch_s))
        return
    found = compose(graph, table, Overheads(launch_s))
    assert found.total_s == pytest.approx(expected)
    assert compose(graph, table, Overheads(launch_s)) == found
    assert (found.gpu_bytes, found.arena_bytes) == held_memory(graph, found.steps)


@settings(max_examples=100, deadline=None)
@given(problems(most_nodes=4, most_options=3), st.data())
def test_composition_within_caps_is_exact(problem: tuple[Graph, Table, float], data: st.DataObject) -> None:
    compare_with_brute_force_within_caps(*problem, data)


@pytest.mark.slow
@MANY
@given(problems(most_nodes=4, most_options=3), st.data())
def test_many_compositions_within_caps_are_exact(
    problem: tuple[Graph, Table, float], data: st.DataObject
) -> None:
    compare_with_brute_force_within_caps(*problem, data)


def compare_with_brute_force_within_caps(
    graph: Graph, table: Table, launch_s: float, data: st.DataObject
) -> None:
    every = [
        (cost(cut, launch_s), held_memory(graph, cut))
        for steps in every_composition(graph, table)
        for cut in every_cut(steps)
    ]
    assume(every)
    gpu, arena = (data.draw(st.sampled_from(sorted({memory[i] for _, memory in every}))) for i in (0, 1))
    fitting = [spent for spent, memory in every if memory[0] <= gpu and memory[1] <= arena]
    limits = Limits(caps=Caps(gpu, arena))
    if not fitting:
        with pytest.raises(CompositionError, match="within"):
            compose(graph, table, Overheads(launch_s), limits)
        return
    found = compose(graph, table, Overheads(launch_s), limits)
    assert found.total_s == pytest.approx(min(fitting))
    assert found.gpu_bytes <= gpu and found.arena_bytes <= arena
    assert (found.gpu_bytes, found.arena_bytes) == held_memory(graph, found.steps)
    assert found.total_s == pytest.approx(cost(found.steps, launch_s))
    assert found.launches == sum(starts_launch(found.steps))


@settings(max_examples=60, deadline=None)
@given(problems(most_nodes=3, most_options=3), st.data())
def test_composition_within_a_cap_on_both_together(
    problem: tuple[Graph, Table, float], data: st.DataObject
) -> None:
    graph, table, launch_s = problem
    every = [
        (cost(cut, launch_s), sum(held_memory(graph, cut)))
        for steps in every_composition(graph, table)
        for cut in every_cut(steps)
    ]
    assume(every)
    cap = data.draw(st.sampled_from(sorted({total for _, total in every})))
    found = compose_within(
        cap,
        lambda caps: compose(graph, table, Overheads(launch_s), Limits(caps=caps)),
        lambda composition: MemoryUse(composition.gpu_bytes, composition.arena_bytes),
        lambda composition: composition.total_s,
    )
    assert found.total_s == pytest.approx(min(spent for spent, total in every if total <= cap))
    assert found.gpu_bytes + found.arena_bytes <= cap


def chain(launch_s: float, **times: float) -> tuple[Graph, Table, Overheads]:
    """Two layers, each on the CPU in nchw or on the QPU in pixel16, with relayouts on the QPU."""
    graph = graph_of([(0,), (1,)], [2])
    table: Table = {}
    for node in graph.nodes:
        spec = LayerSpec.of(graph, node)
        table[spec] = (
            timed(spec, "cpu", ("nchw",), "nchw", times["cpu"]),
            timed(spec, "videocore4", ("pixel16",), "pixel16", times["qpu"]),
        )
    for source, target in (LAYOUTS, LAYOUTS[::-1]):
        spec = relayout_spec(graph.types["t0"], source, target)
        table[spec] = (timed(spec, "videocore4", (source,), target, times["relayout"]),)
    return graph, table, Overheads(launch_s)


def test_a_run_of_qpu_layers_is_one_launch_with_relayouts_at_its_ends() -> None:
    found = compose(*chain(3.0, cpu=20, qpu=2, relayout=1))
    names = [s.node.name if s.node else s.timed.candidate.choice.output_layout for s in found.steps]
    assert names == ["pixel16", "n0", "n1", "nchw"]
    assert (found.total_s, found.launches) == (9.0, 1)


def test_launch_overhead_keeps_a_small_network_on_the_cpu() -> None:
    found = compose(*chain(100.0, cpu=20, qpu=2, relayout=1))
    assert {step.timed.candidate.choice.engine for step in found.steps} == {"cpu"}
    assert (found.total_s, found.launches) == (40.0, 0)


def test_a_view_costs_nothing_and_does_not_end_a_launch() -> None:
    graph = graph_of([(0,), (1,), (2,)], [3], reshapes={1})
    table: Table = {}
    for node in graph.nodes:
        spec = LayerSpec.of(graph, node)
        if node.name == "n1":
            table[spec] = tuple(timed(spec, "cpu", (layout,), layout, 9.0) for layout in LAYOUTS)
        else:
            table[spec] = (timed(spec, "videocore4", ("pixel16",), "pixel16", 2.0),)
    for source, target in (LAYOUTS, LAYOUTS[::-1]):
        spec = relayout_spec(graph.types["t0"], source, target)
        table[spec] = (timed(spec, "videocore4", (source,), target, 1.0),)
    found = compose(graph, table, Overheads(3.0))
    assert (found.total_s, found.launches) == (9.0, 1)
    assert [step.is_view for step in found.steps] == [False, False, True, False, False]
    assert starts_launch(found.steps) == (True, False, False, False, False)


def test_processors_can_be_restricted() -> None:
    graph, table, overheads = chain(3.0, cpu=20, qpu=2, relayout=1)
    cpu_only = Limits(engines=("cpu",))
    assert compose(graph, table, overheads, cpu_only).total_s == 40.0
    only_qpu = {
        spec: timed_candidates
        for spec, timed_candidates in table.items()
        if timed_candidates[0].candidate.choice.engine == "cpu"
    }
    with pytest.raises(CompositionError, match="n0"):
        compose(
            graph,
            {spec: timed_candidates[1:] for spec, timed_candidates in only_qpu.items()},
            overheads,
            cpu_only,
        )


def test_a_tensor_read_twice_in_one_layout_is_converted_once() -> None:
    graph = graph_of([(0,), (1,), (1,)], [2, 3])
    table: Table = {}
    for node in graph.nodes:
        spec = LayerSpec.of(graph, node)
        wants = "nchw" if node.name == "n0" else "pixel16"
        table[spec] = (timed(spec, "cpu", (wants,), "nchw", 1.0),)
    spec = relayout_spec(graph.types["t0"], "nchw", "pixel16")
    table[spec] = (timed(spec, "cpu", ("nchw",), "pixel16", 5.0),)
    found = compose(graph, table, Overheads())
    assert sum(step.node is None for step in found.steps) == 1
    assert found.total_s == 8.0


def test_of_equal_interfaces_only_those_count_that_are_fast_or_small() -> None:
    graph = graph_of([(0,)], [1])
    spec = LayerSpec.of(graph, graph.nodes[0])
    ways = [
        timed(spec, "cpu", ("nchw",), "nchw", time_s, tag, workspace)
        for tag, (time_s, workspace) in enumerate([(2.0, 64), (1.0, 64), (3.0, 0), (4.0, 32)])
    ]
    other = timed(spec, "videocore4", ("nchw",), "nchw", 9.0)
    assert efficient((*ways, other), lambda way: way.time_s) == (ways[1], ways[2], other)


def test_threads_are_not_woken_for_a_layer_that_gains_less() -> None:
    graph = graph_of([(0,), (1,), (2,)], [3])
    table: Table = {}
    for node, shared_s in zip(graph.nodes, (6.0, 9.5, 6.0), strict=True):
        spec = LayerSpec.of(graph, node)
        alone, shared = (
            timed(spec, "cpu", ("nchw",), "nchw", t, threads=n) for n, t in ((1, 10.0), (2, shared_s))
        )
        table[spec] = (alone, shared)
    together = compose(graph, table, Overheads(wake_s=2.0, spin_s=0.5))
    assert [step.timed.threads for step in together.steps] == [2, 2, 2]
    assert together.total_s == 6 + 9.5 + 6 + 2
    assert together.cpu_s == 2 * (6 + 9.5 + 6) + 2
    dear = compose(graph, table, Overheads(wake_s=9.0, spin_s=0.5))
    assert ([step.timed.threads for step in dear.steps], dear.total_s) == ([1, 1, 1], 30.0)
    thrifty = compose(
        graph, table, Overheads(wake_s=0.5, spin_s=0.5), Limits(weights=weights_of({"cpu-time": 0.8}, None))
    )
    assert [step.timed.threads for step in thrifty.steps] == [2, 1, 2]
    assert compose(graph, table, Overheads(), Limits(threads=1)).total_s == 30.0


def test_threads_stay_awake_through_a_short_step() -> None:
    graph = graph_of([(0,), (1,), (2,)], [3])
    table: Table = {}
    for node, threads, time_s in zip(graph.nodes, (2, 1, 2), (5.0, 0.4, 5.0), strict=True):
        spec = LayerSpec.of(graph, node)
        table[spec] = (timed(spec, "cpu", ("nchw",), "nchw", time_s, threads=threads),)
    assert compose(graph, table, Overheads(wake_s=2.0, spin_s=0.5)).total_s == pytest.approx(10.4 + 2)
    assert compose(graph, table, Overheads(wake_s=2.0, spin_s=0.3)).total_s == pytest.approx(10.4 + 4)


def test_a_layer_that_no_launch_may_hold_is_left_to_the_cpu() -> None:
    graph, table, overheads = chain(0.0, cpu=2.0, qpu=0.9, relayout=0.1)
    target = replace(load_profile("pi-zero").target(), launch_limit_s=0.8)
    assert {step.timed.engine.name for step in compose(graph, table, overheads).steps} == {"videocore4"}
    found = compose(graph, launchable(table, target), overheads)
    assert {step.timed.engine.name for step in found.steps} == {"cpu"}
