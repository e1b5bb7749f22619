from __future__ import annotations

import pytest

from codegen.engine_registry import layout_named
from codegen.engines.videocore4.memory import GPU_MEMORY
from codegen.expression import RESULT, clamp
from codegen.graph import Graph, LayerSpec, Node
from codegen.operators.concat import Concat
from codegen.operators.elementwise import Map
from codegen.tensor import TensorType
from explorer.compose.compose import Composition, Limits, compose
from explorer.compose.held import Caps
from explorer.compose.steps import Overheads
from explorer.compose.timed_candidates import TimedCandidate, relayout_spec
from tests.explorer.networks import timed

PART, WHOLE = TensorType((1, 4, 2, 2)), TensorType((1, 8, 2, 2))
COPY_S = 10.0


def fire(also_read: str | None = None) -> Graph:
    """Two layers that read the input, their concatenation, and a layer behind it; another reader of a part."""
    nodes = [
        Node("left", Map(clamp(RESULT, 1.0, None)), ("in",), ("left",)),
        Node("right", Map(clamp(RESULT, 2.0, None)), ("in",), ("right",)),
        Node("whole", Concat(), ("left", "right"), ("whole",)),
        Node("last", Map(clamp(RESULT, 3.0, None)), ("whole",), ("last",)),
    ]
    if also_read:
        nodes.append(Node("also", Map(clamp(RESULT, 4.0, None)), (also_read,), ("also",)))
    types = {"in": PART, "left": PART, "right": PART, "whole": WHOLE, "last": WHOLE, "also": PART}
    outputs = ("last", "also") if also_read else ("last",)
    return Graph("fire", ("in",), outputs, tuple(nodes), types, {})


def on(graph: Graph, engine: str, layout: str) -> dict[LayerSpec, tuple[TimedCandidate, ...]]:
    """Every layer on one engine in one layout, the copying concatenation dear; layout changes by the QPUs."""
    table: dict[LayerSpec, tuple[TimedCandidate, ...]] = {}
    for node in graph.nodes:
        spec = LayerSpec.of(graph, node)
        layouts = (layout,) * len(node.inputs)
        time_s = COPY_S if isinstance(node.op, Concat) else 1.0
        table[spec] = (timed(spec, engine, layouts, layout, time_s),)
    for type_ in (PART, WHOLE):
        for source, target in (("nchw", "pixel16"), ("pixel16", "nchw")):
            spec = relayout_spec(type_, source, target)
            table[spec] = (timed(spec, "videocore4", (source,), target, 1.0),)
    return table


def concat_step(found: Composition) -> tuple[bool, float]:
    step = next(step for step in found.steps if step.tensors[0] == "whole" and step.node is not None)
    return step.in_place, step.time_s


@pytest.mark.parametrize(("engine", "layout"), [("cpu", "nchw"), ("videocore4", "pixel16")])
def test_a_concatenation_whose_parts_have_no_other_home_is_written_in_place(engine: str, layout: str) -> None:
    graph = fire()
    found = compose(graph, on(graph, engine, layout), Overheads(0.5))
    assert concat_step(found) == (True, 0.0)


def test_a_part_that_another_layer_reads_in_blocks_is_copied() -> None:
    graph = fire(also_read="left")
    found = compose(graph, on(graph, "videocore4", "pixel16"), Overheads(0.5))
    assert concat_step(found) == (False, COPY_S)


def test_row_major_parts_may_have_other_readers() -> None:
    graph = fire(also_read="right")
    found = compose(graph, on(graph, "cpu", "nchw"), Overheads(0.5))
    assert concat_step(found) == (True, 0.0)


def test_the_whole_takes_memory_from_its_first_part_on() -> None:
    graph = fire()
    found = compose(graph, on(graph, "cpu", "nchw"), Overheads(0.0))
    assert (found.gpu_bytes, found.arena_bytes) == (0, WHOLE.size_bytes)
    found = compose(graph, on(graph, "videocore4", "pixel16"), Overheads(0.5))
    blocks = [layout_named("pixel16").size_bytes(type_) for type_ in (PART, WHOLE, WHOLE)]
    rows = [PART.size_bytes, WHOLE.size_bytes]
    assert found.gpu_bytes == sum(map(GPU_MEMORY.taken_bytes, [*blocks, *rows]))


def test_copying_needs_more_memory_than_a_cap_on_the_whole_allows() -> None:
    graph = fire()
    limits = Limits(caps=Caps(arena_bytes=WHOLE.size_bytes))
    assert concat_step(compose(graph, on(graph, "cpu", "nchw"), Overheads(), limits)) == (True, 0.0)
