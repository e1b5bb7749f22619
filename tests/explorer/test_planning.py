from __future__ import annotations

from codegen.graph import LayerSpec, TensorType
from codegen.layout import layout_named
from codegen.plan import PlanStep, relayout_name
from codegen.schedule import Choice, Processor
from explorer.compose import ComposedStep
from explorer.options import relayout_spec
from explorer.planning import peak_activation_bytes, step_name
from tests.explorer.networks import graph_of, option

TENSOR = TensorType((1, 4, 2, 2))
NCHW_BYTES, PIXEL16_BYTES = (layout_named(name).size_bytes(TENSOR) for name in ("nchw", "pixel16"))


def plan_step(
    graph_edges: list[tuple[int, ...]], index: int, layout: str, processor: Processor = "cpu"
) -> PlanStep:
    graph = graph_of(graph_edges, [len(graph_edges)])
    node = graph.nodes[index]
    choice = Choice(processor, "fake", (), (), (layout,) * len(node.inputs), layout)
    return PlanStep.of(
        node.name, LayerSpec.of(graph, node), node.inputs, node.output, choice,
        predicted_s=1.0, low_s=1.0, high_s=1.0, kind="modelled",
    )  # fmt: skip


def test_a_chain_keeps_two_buffers_at_a_time() -> None:
    edges: list[tuple[int, ...]] = [(0,), (1,), (2,)]
    steps = [plan_step(edges, i, "nchw") for i in range(3)]
    assert peak_activation_bytes(graph_of(edges, [3]), steps) == 2 * NCHW_BYTES


def test_a_branch_keeps_what_is_still_needed() -> None:
    edges: list[tuple[int, ...]] = [(0,), (1,), (1, 2)]
    steps = [plan_step(edges, i, "nchw") for i in range(3)]
    assert peak_activation_bytes(graph_of(edges, [3]), steps) == 3 * NCHW_BYTES


def test_what_the_qpus_touch_is_held_for_good() -> None:
    edges: list[tuple[int, ...]] = [(0,), (1,), (2,), (3,)]
    steps = [plan_step(edges, i, "nchw", "qpu" if i < 2 else "cpu") for i in range(4)]
    assert peak_activation_bytes(graph_of(edges, [4]), steps) == (3 + 2) * NCHW_BYTES


def test_padding_of_a_layout_counts() -> None:
    edges: list[tuple[int, ...]] = [(0,)]
    graph = graph_of(edges, [1])
    spec = relayout_spec(graph.types["t0"], "nchw", "pixel16")
    choice = Choice("cpu", "fake", (), (), ("nchw",), "pixel16")
    relayout = PlanStep.of(
        relayout_name("t0", "pixel16"), spec, ("t0",), "t0", choice,
        predicted_s=1.0, low_s=1.0, high_s=1.0, kind="modelled",
    )  # fmt: skip
    assert peak_activation_bytes(graph, [relayout]) == NCHW_BYTES + PIXEL16_BYTES


def test_layout_changes_are_named_after_tensor_and_layout() -> None:
    graph = graph_of([(0,)], [1])
    spec = relayout_spec(graph.types["t0"], "nchw", "pixel16")
    step = ComposedStep(None, "t0", option(spec, "cpu", ("nchw",), "pixel16", 1.0))
    assert step_name(step) == relayout_name("t0", "pixel16")
    node = ComposedStep(graph.nodes[0], "t1", option(spec, "cpu", ("nchw",), "nchw", 1.0))
    assert step_name(node) == "n0"
