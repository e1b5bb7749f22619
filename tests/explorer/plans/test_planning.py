from __future__ import annotations

from dataclasses import replace

from codegen.plan import relayout_name
from explorer.compose.steps import ComposedStep
from explorer.compose.timed_candidates import relayout_spec
from explorer.plans.planning import step_names
from tests.explorer.networks import graph_of, timed


def test_layout_changes_are_named_after_tensor_and_layout() -> None:
    graph = graph_of([(0,)], [1])
    spec = relayout_spec(graph.types["t0"], "nchw", "pixel16")
    step = ComposedStep(None, ("t0",), timed(spec, "cpu", ("nchw",), "pixel16", 1.0))
    node = ComposedStep(graph.nodes[0], ("t1",), timed(spec, "cpu", ("nchw",), "nchw", 1.0))
    assert step_names((step, node)) == (relayout_name("t0", "pixel16"), "n0")


def test_a_layer_may_be_called_like_a_layout_change() -> None:
    graph = graph_of([(0,)], [1])
    spec = relayout_spec(graph.types["t0"], "nchw", "pixel16")
    step = ComposedStep(None, ("t0",), timed(spec, "cpu", ("nchw",), "pixel16", 1.0))
    named = replace(graph.nodes[0], name=relayout_name("t0", "pixel16"))
    node = ComposedStep(named, ("t1",), timed(spec, "cpu", ("nchw",), "nchw", 1.0))
    assert step_names((step, node)) == ("relayout:t0:pixel16'", "relayout:t0:pixel16")
