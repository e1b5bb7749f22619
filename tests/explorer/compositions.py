"""Random small problems, and every composition of one: what the search is compared with."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import product

from hypothesis import strategies as st

from codegen.graph import Graph, LayerSpec
from codegen.operators.reshape import Reshape
from explorer.compose.steps import ComposedStep, starts_launch
from explorer.compose.timed_candidates import TimedCandidate, relayout_spec
from tests.explorer.networks import LAYOUTS, graph_of, timed

Table = dict[LayerSpec, tuple[TimedCandidate, ...]]


Steps = tuple[ComposedStep, ...]
ENGINES: tuple[str, ...] = ("cpu", "videocore4")


@st.composite
def problems(draw: st.DrawFn, most_nodes: int = 5, most_options: int = 4) -> tuple[Graph, Table, float]:
    """Random DAGs of a few nodes with one or two inputs each, timed candidates and some missing relayouts."""
    count = draw(st.integers(1, most_nodes))
    edges = [
        tuple(draw(st.lists(st.integers(0, i), min_size=1, max_size=2, unique=True))) for i in range(count)
    ]
    unread = [i for i in range(1, count + 1) if not any(i in sources for sources in edges)]
    reshapes = draw(st.sets(st.integers(0, count - 1)))
    graph = graph_of(edges, unread, reshapes)
    times, workspaces = st.integers(1, 20).map(float), st.sampled_from((0, 64, 640))
    table: Table = {}
    for node in graph.nodes:
        spec = LayerSpec.of(graph, node)
        every = [
            timed(
                spec,
                engine,
                inputs,
                output,
                draw(times),
                tag,
                draw(workspaces) if engine == "cpu" else 0,
            )
            for tag, (engine, inputs, output) in enumerate(
                product(ENGINES, product(LAYOUTS, repeat=len(node.inputs)), LAYOUTS)
            )
        ]
        table[spec] = tuple(
            draw(st.lists(st.sampled_from(every), min_size=1, max_size=most_options, unique=True))
        )
    for source, target in (LAYOUTS, LAYOUTS[::-1]):
        spec = relayout_spec(graph.types["t0"], source, target)
        ways = [timed(spec, engine, (source,), target, draw(times)) for engine in ENGINES]
        table[spec] = tuple(draw(st.lists(st.sampled_from(ways), max_size=2, unique=True)))
    return graph, table, float(draw(st.integers(0, 5)))


def moves_nothing(timed: TimedCandidate) -> bool:
    """A reshape whose one input has the output's layout: no byte moves, whoever would run it."""
    choice = timed.candidate.choice
    return isinstance(timed.candidate.spec.op, Reshape) and choice.input_layouts == (choice.output_layout,)


def every_composition(graph: Graph, table: Table) -> Iterator[Steps]:
    """Every candidate of every node with every way to change every layout, in one launch where launches follow."""
    for timed_candidates in product(*(table[LayerSpec.of(graph, node)] for node in graph.nodes)):
        chosen = dict(zip(graph.nodes, timed_candidates, strict=True))
        produced = {"t0": "nchw", **{n.output: o.candidate.choice.output_layout for n, o in chosen.items()}}
        sequence: list[list[ComposedStep]] = []
        for tensor in ("t0", *(node.output for node in graph.nodes)):
            sequence += [
                [ComposedStep(n, (tensor,), chosen[n], is_view=moves_nothing(chosen[n]))]
                for n in graph.nodes
                if n.output == tensor
            ]
            wanted = {
                layout
                for node, way in chosen.items()
                for name, layout in zip(node.inputs, way.candidate.choice.input_layouts, strict=True)
                if name == tensor
            } | ({"nchw"} if tensor in graph.outputs else set())
            for target in wanted - {produced[tensor]}:
                ways = table[relayout_spec(graph.types[tensor], produced[tensor], target)]
                sequence.append([ComposedStep(None, (tensor,), way) for way in ways])
        yield from product(*sequence)


def every_cut(steps: Steps) -> Iterator[Steps]:
    """The same steps with the QPUs started anew at every subset of the places where they could be."""
    starts = starts_launch(steps)
    places = [
        index
        for index, (step, starting) in enumerate(zip(steps, starts, strict=True))
        if step.timed.candidate.choice.engine == "videocore4" and not step.is_free and not starting
    ]
    for chosen in product((False, True), repeat=len(places)):
        cuts = {place for place, cut in zip(places, chosen, strict=True) if cut}
        yield tuple(replace(step, starts_launch=i in cuts) for i, step in enumerate(steps))


def cost(steps: Steps, launch_s: float) -> float:
    return sum(step.time_s for step in steps) + sum(starts_launch(steps)) * launch_s
