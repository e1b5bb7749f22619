from __future__ import annotations

from itertools import pairwise, product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codegen.graph import Graph, LayerSpec, Reshape
from explorer.compose import compose, starts_launch
from explorer.errors import CompositionError
from explorer.options import Option, fastest_by_interface, relayout_spec
from tests.explorer.networks import LAYOUTS, graph_of, option

Table = dict[LayerSpec, tuple[Option, ...]]


@st.composite
def problems(draw: st.DrawFn) -> tuple[Graph, Table, float]:
    """Random DAGs of up to five nodes with one or two inputs each, options and some missing relayouts."""
    count = draw(st.integers(1, 5))
    edges = [
        tuple(draw(st.lists(st.integers(0, i), min_size=1, max_size=2, unique=True))) for i in range(count)
    ]
    unread = [i for i in range(1, count + 1) if not any(i in sources for sources in edges)]
    reshapes = draw(st.sets(st.integers(0, count - 1)))
    graph = graph_of(edges, unread, reshapes)
    times = st.integers(1, 20).map(float)
    table: Table = {}
    for node in graph.nodes:
        spec = LayerSpec.of(graph, node)
        every = [
            option(spec, processor, inputs, output, draw(times), tag)
            for tag, (processor, inputs, output) in enumerate(
                product(("cpu", "qpu"), product(LAYOUTS, repeat=len(node.inputs)), LAYOUTS)
            )
        ]
        table[spec] = tuple(draw(st.lists(st.sampled_from(every), min_size=1, max_size=4, unique=True)))
    for source, target in (LAYOUTS, LAYOUTS[::-1]):
        spec = relayout_spec(graph.types["t0"], source, target)
        ways = [option(spec, processor, (source,), target, draw(times)) for processor in ("cpu", "qpu")]
        table[spec] = tuple(draw(st.lists(st.sampled_from(ways), max_size=2, unique=True)))
    return graph, table, float(draw(st.integers(0, 5)))


def moves_nothing(option: Option) -> bool:
    """A reshape whose one input has the output's layout: no byte moves, whoever would run it."""
    choice = option.candidate.choice
    return isinstance(option.candidate.spec.op, Reshape) and choice.input_layouts == (choice.output_layout,)


def brute_force(graph: Graph, table: Table, launch_s: float) -> float:
    """The least cost over every option of every node and every way to change every layout."""
    best = float("inf")
    for options in product(*(table[LayerSpec.of(graph, node)] for node in graph.nodes)):
        chosen = dict(zip(graph.nodes, options, strict=True))
        produced = {"t0": "nchw", **{n.output: o.candidate.choice.output_layout for n, o in chosen.items()}}
        sequence: list[tuple[Option, ...]] = []
        for tensor in ("t0", *(node.output for node in graph.nodes)):
            sequence += [(chosen[n],) for n in graph.nodes if n.output == tensor]
            wanted = {
                layout
                for node, way in chosen.items()
                for name, layout in zip(node.inputs, way.candidate.choice.input_layouts, strict=True)
                if name == tensor
            } | ({"nchw"} if tensor in graph.outputs else set())
            for target in wanted - {produced[tensor]}:
                sequence.append(table[relayout_spec(graph.types[tensor], produced[tensor], target)])
        for steps in product(*sequence):
            steps = tuple(step for step in steps if not moves_nothing(step))
            processors = ["cpu", *(step.candidate.choice.processor for step in steps)]
            launches = sum(pair == ("cpu", "qpu") for pair in pairwise(processors))
            best = min(best, sum(step.time_s for step in steps) + launches * launch_s)
    return best


@settings(max_examples=150, deadline=None)
@given(problems())
def test_composition_is_exact(problem: tuple[Graph, Table, float]) -> None:
    graph, table, launch_s = problem
    expected = brute_force(graph, table, launch_s)
    if expected == float("inf"):
        with pytest.raises(CompositionError, match="fits together"):
            compose(graph, table, launch_s)
        return
    found = compose(graph, table, launch_s)
    assert found.total_s == pytest.approx(expected)
    assert compose(graph, table, launch_s) == found


def chain(launch_s: float, **times: float) -> tuple[Graph, Table, float]:
    """Two layers, each on the CPU in nchw or on the QPU in pixel16, with relayouts on the QPU."""
    graph = graph_of([(0,), (1,)], [2])
    table: Table = {}
    for node in graph.nodes:
        spec = LayerSpec.of(graph, node)
        table[spec] = (
            option(spec, "cpu", ("nchw",), "nchw", times["cpu"]),
            option(spec, "qpu", ("pixel16",), "pixel16", times["qpu"]),
        )
    for source, target in (LAYOUTS, LAYOUTS[::-1]):
        spec = relayout_spec(graph.types["t0"], source, target)
        table[spec] = (option(spec, "qpu", (source,), target, times["relayout"]),)
    return graph, table, launch_s


def test_a_run_of_qpu_layers_is_one_launch_with_relayouts_at_its_ends() -> None:
    found = compose(*chain(3.0, cpu=20, qpu=2, relayout=1))
    names = [s.node.name if s.node else s.option.candidate.choice.output_layout for s in found.steps]
    assert names == ["pixel16", "n0", "n1", "nchw"]
    assert (found.total_s, found.launches) == (9.0, 1)


def test_launch_overhead_keeps_a_small_network_on_the_cpu() -> None:
    found = compose(*chain(100.0, cpu=20, qpu=2, relayout=1))
    assert {step.option.candidate.choice.processor for step in found.steps} == {"cpu"}
    assert (found.total_s, found.launches) == (40.0, 0)


def test_a_view_costs_nothing_and_does_not_end_a_launch() -> None:
    graph = graph_of([(0,), (1,), (2,)], [3], reshapes={1})
    table: Table = {}
    for node in graph.nodes:
        spec = LayerSpec.of(graph, node)
        if node.name == "n1":
            table[spec] = tuple(option(spec, "cpu", (layout,), layout, 9.0) for layout in LAYOUTS)
        else:
            table[spec] = (option(spec, "qpu", ("pixel16",), "pixel16", 2.0),)
    for source, target in (LAYOUTS, LAYOUTS[::-1]):
        spec = relayout_spec(graph.types["t0"], source, target)
        table[spec] = (option(spec, "qpu", (source,), target, 1.0),)
    found = compose(graph, table, 3.0)
    assert (found.total_s, found.launches) == (9.0, 1)
    assert [step.is_view for step in found.steps] == [False, False, True, False, False]
    assert starts_launch(found.steps) == (True, False, False, False, False)


def test_processors_can_be_restricted() -> None:
    graph, table, launch_s = chain(3.0, cpu=20, qpu=2, relayout=1)
    assert compose(graph, table, launch_s, ("cpu",)).total_s == 40.0
    only_qpu = {
        spec: options for spec, options in table.items() if options[0].candidate.choice.processor == "cpu"
    }
    with pytest.raises(CompositionError, match="n0"):
        compose(graph, {spec: options[1:] for spec, options in only_qpu.items()}, launch_s, ("cpu",))


def test_a_tensor_read_twice_in_one_layout_is_converted_once() -> None:
    graph = graph_of([(0,), (1,), (1,)], [2, 3])
    table: Table = {}
    for node in graph.nodes:
        spec = LayerSpec.of(graph, node)
        wants = "nchw" if node.name == "n0" else "pixel16"
        table[spec] = (option(spec, "cpu", (wants,), "nchw", 1.0),)
    spec = relayout_spec(graph.types["t0"], "nchw", "pixel16")
    table[spec] = (option(spec, "cpu", ("nchw",), "pixel16", 5.0),)
    found = compose(graph, table, 0.0)
    assert sum(step.node is None for step in found.steps) == 1
    assert found.total_s == 8.0


def test_only_the_fastest_of_equal_interfaces_counts() -> None:
    graph = graph_of([(0,)], [1])
    spec = LayerSpec.of(graph, graph.nodes[0])
    slow, fast = (option(spec, "cpu", ("nchw",), "nchw", t, tag) for tag, t in enumerate((2.0, 1.0)))
    other = option(spec, "qpu", ("nchw",), "nchw", 9.0)
    assert fastest_by_interface((slow, other, fast)) == (fast, other)
