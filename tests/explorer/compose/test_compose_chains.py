from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from codegen.chains import chain_nodes
from codegen.graph import Graph, LayerSpec, Node
from codegen.operators.conv2d import Conv2d
from codegen.tensor import FloatArray, TensorType
from explorer.compose.compose import Limits, compose
from explorer.compose.held import Caps
from explorer.compose.steps import Overheads
from explorer.compose.timed_candidates import TimedCandidate, relayout_spec
from tests.explorer.networks import timed

LAYOUTS = ("nchw", "channel16")


def line_of(count: int) -> Graph:
    """Convolutions one behind the other; each has another number of channels and so its own spec."""
    types = {f"t{i}": TensorType((1, 4 + i, 3, 3)) for i in range(count + 1)}
    nodes: list[Node] = []
    constants: dict[str, FloatArray] = {}
    for i in range(count):
        constants[f"w{i}"] = np.zeros((5 + i, 4 + i, 1, 1), dtype=np.float32)
        constants[f"b{i}"] = np.zeros(5 + i, dtype=np.float32)
        nodes.append(Node(f"n{i}", Conv2d((1, 1)), (f"t{i}",), (f"t{i + 1}",), (f"w{i}", f"b{i}")))
    return Graph("line", ("t0",), (f"t{count}",), tuple(nodes), types, constants)


@st.composite
def problems(draw: st.DrawFn) -> tuple[Graph, dict[LayerSpec, tuple[TimedCandidate, ...]]]:
    graph = line_of(draw(st.integers(1, 5)))
    times = st.integers(1, 20).map(float)
    table: dict[LayerSpec, tuple[TimedCandidate, ...]] = {}
    chains = [chain.node for chain in chain_nodes(graph)]
    for node in (*graph.nodes, *chains):
        spec = LayerSpec.of(graph, node)
        pairs = list(product(LAYOUTS, LAYOUTS))
        least = 1 if node in graph.nodes else 0
        offered = draw(st.lists(st.sampled_from(pairs), min_size=least, max_size=3, unique=True))
        table[spec] = tuple(timed(spec, "cpu", (a,), b, draw(times)) for a, b in offered)
    for tensor in graph.types.values():
        for source, target in product(LAYOUTS, LAYOUTS):
            if source != target:
                spec = relayout_spec(tensor, source, target)
                table[spec] = (timed(spec, "cpu", (source,), target, draw(times)),)
    return graph, table


def cuts(graph: Graph) -> Iterator[tuple[Node, ...]]:
    """Every way to cut the line into single layers and chains."""
    chains = chain_nodes(graph)

    def after(first: int) -> Iterator[tuple[Node, ...]]:
        if first == len(graph.nodes):
            yield ()
            return
        heads = [(graph.nodes[first], first), *((c.node, c.last) for c in chains if c.first == first)]
        for head, last in heads:
            for tail in after(last + 1):
                yield (head, *tail)

    return after(0)


def least_cost(graph: Graph, table: dict[LayerSpec, tuple[TimedCandidate, ...]]) -> float:
    best = float("inf")
    for nodes in cuts(graph):
        for ways in product(*(table[LayerSpec.of(graph, node)] for node in nodes)):
            total, layout, tensor = 0.0, "nchw", "t0"
            for node, way in zip(nodes, ways, strict=True):
                choice = way.candidate.choice
                if choice.input_layouts[0] != layout:
                    spec = relayout_spec(graph.types[tensor], layout, choice.input_layouts[0])
                    total += table[spec][0].time_s
                total, layout, tensor = total + way.time_s, choice.output_layout, node.output
            if layout != "nchw":
                total += table[relayout_spec(graph.types[tensor], layout, "nchw")][0].time_s
            best = min(best, total)
    return best


@settings(max_examples=60, deadline=None)
@given(problems())
def test_the_composition_with_chains_is_exact(
    problem: tuple[Graph, dict[LayerSpec, tuple[TimedCandidate, ...]]],
) -> None:
    graph, table = problem
    composed = compose(graph, table, Overheads())
    assert composed.total_s == least_cost(graph, table)
    computed = [step.node for step in composed.steps if step.node is not None]
    names = [name for node in computed for name in _members(graph, node)]
    assert names == [node.name for node in graph.nodes]


def _members(graph: Graph, node: Node) -> list[str]:
    for chain in chain_nodes(graph):
        if chain.node == node:
            return [member.name for member in graph.nodes[chain.first : chain.last + 1]]
    return [node.name]


def test_what_two_layers_read_is_no_inside_of_a_chain() -> None:
    graph = line_of(3)
    outputs = Graph(graph.name, graph.inputs, ("t1", "t3"), graph.nodes, graph.types, graph.constants)
    assert {chain.node.name for chain in chain_nodes(graph)} == {"n0..n1", "n1..n2", "n0..n2"}
    assert {chain.node.name for chain in chain_nodes(outputs)} == {"n1..n2"}


def test_chains_hold_less_memory() -> None:
    """Both cost the same; within the cap only the chain fits, whose inner tensors are never whole in memory."""
    graph = line_of(3)
    table: dict[LayerSpec, tuple[TimedCandidate, ...]] = {}
    for node in (*graph.nodes, *(chain.node for chain in chain_nodes(graph))):
        spec = LayerSpec.of(graph, node)
        seconds = float(len(getattr(spec.op, "members", (spec,))))
        table[spec] = (timed(spec, "cpu", ("nchw",), "nchw", seconds + 0.5 * (seconds > 1)),)
    fastest = compose(graph, table, Overheads())
    assert fastest.total_s == 3.0 and fastest.arena_bytes > 0
    small = compose(graph, table, Overheads(), Limits(caps=Caps(arena_bytes=0)))
    assert [step.node.name for step in small.steps if step.node] == ["n0..n2"]
    assert small.total_s == 3.5 and small.arena_bytes == 0
