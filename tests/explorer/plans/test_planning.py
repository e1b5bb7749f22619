from __future__ import annotations

from codegen.plan import relayout_name
from explorer.compose.steps import ComposedStep
from explorer.compose.timed_candidates import relayout_spec
from explorer.plans.planning import step_name
from tests.explorer.networks import graph_of, timed


def test_layout_changes_are_named_after_tensor_and_layout() -> None:
    graph = graph_of([(0,)], [1])
    spec = relayout_spec(graph.types["t0"], "nchw", "pixel16")
    step = ComposedStep(None, ("t0",), timed(spec, "cpu", ("nchw",), "pixel16", 1.0))
    assert step_name(step) == relayout_name("t0", "pixel16")
    node = ComposedStep(graph.nodes[0], ("t1",), timed(spec, "cpu", ("nchw",), "nchw", 1.0))
    assert step_name(node) == "n0"
