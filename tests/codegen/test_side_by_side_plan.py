"""Plans with two layers in one step: compiled as they say, refused where they are not the model's."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from codegen.bundle import compile_bundle
from codegen.bundle.launches import runs_of
from codegen.bundle.step_weights import weights_of_steps
from codegen.bundle.tasks import schedule_of
from codegen.chains import neighbours, node_side_by_side
from codegen.errors import PlanError
from codegen.graph import Graph, LayerSpec
from codegen.operators.concat import Concat
from codegen.operators.conv2d import Conv2d
from codegen.operators.side_by_side import SideBySide
from codegen.plan import Plan, PlanStep, read_plan, write_plan
from codegen.reference import evaluate
from codegen.schedule import Candidate
from tests.codegen.pairs import candidate
from tests.codegen.plan_run import layered_plan, run_plan
from tests.codegen.planned import PI_ZERO, GraphBuilder

SAME, POINTWISE = Conv2d((3, 3), pads=(1, 1, 1, 1)), Conv2d((1, 1))


def module(images: int = 1) -> Graph:
    """Two layers of one tensor, their concatenation and a layer behind it."""
    build = GraphBuilder("module", (images, 6, 9, 7))
    squeezed = build.add(POINTWISE, "x", [(8, 6, 1, 1), (8,)], name="squeeze")
    left = build.add(POINTWISE, squeezed, [(20, 8, 1, 1), (20,)], name="left")
    right = build.add(SAME, squeezed, [(23, 8, 3, 3), (23,)], name="right")
    joined = build.add(Concat(1), (left, right), name="join")
    return build.build(build.add(POINTWISE, joined, [(9, 43, 1, 1), (9,)], name="next"))


def together(graph: Graph, plan: Plan, order: str, qpus: int) -> Plan:
    """The plan with the steps `left` and `right` as one."""
    left, right = (next(step for step in plan.steps if step.name == name) for name in ("left", "right"))
    op = SideBySide((left.candidate, right.candidate))
    number = next(n for n, node in enumerate(graph.nodes) if node.name == "left")
    found = node_side_by_side(graph, number, op)
    assert found is not None
    spec = LayerSpec.of(graph, found.node)
    pair = candidate("qpu_side_by_side", spec, PI_ZERO, order=order, qpus=qpus)
    step = PlanStep.of(
        found.node.name,
        spec,
        found.node.inputs,
        found.node.outputs,
        pair.choice,
        predicted_s=2e-3,
        low_s=2e-3,
        high_s=2e-3,
        kind="simulated",
    )
    steps = [step if one is left else one for one in plan.steps if one is not right]
    return plan.model_copy(update={"steps": tuple(steps)})


@pytest.mark.parametrize("images", [1, 2])
@pytest.mark.parametrize("in_place", [[], ["join"]])
@pytest.mark.parametrize(
    ("order", "qpus"), [("apart", 4), ("apart", 8), ("first_ahead", 8), ("second_ahead", 12)]
)
def test_a_step_of_two_layers_gives_their_results(
    order: str, qpus: int, in_place: list[str], images: int, tmp_path: Path
) -> None:
    graph = module(images)
    alone = layered_plan(graph, in_place=in_place)
    write_plan(together(graph, alone, order, qpus), tmp_path / "plan.json")
    plan = read_plan(tmp_path / "plan.json")
    assert [step.name for step in plan.steps if isinstance(step.spec.op, SideBySide)] == ["left+right"]
    value = np.random.default_rng(5).normal(size=graph.types["x"].shape).astype(np.float32)
    found, one_by_one = run_plan(graph, plan, value), run_plan(graph, alone, value)
    assert found.stale_reads == 0
    for name, expected in evaluate(graph, {"x": value}).items():
        assert np.abs(found.outputs[name] - expected).max() <= 1e-4 * np.abs(expected).max()
        np.testing.assert_array_equal(found.outputs[name], one_by_one.outputs[name])
    (run,) = runs_of(schedule_of(plan))
    assert "left+right" in [task.step.name for task in run]


def test_a_bundle_of_it_is_the_same_each_time(tmp_path: Path) -> None:
    graph = module()
    plan = together(graph, layered_plan(graph, in_place=["join"]), "first_ahead", 4)
    for name in ("one", "other"):
        compile_bundle(graph, plan, PI_ZERO, tmp_path / name)
    images = [(tmp_path / name / "model.qpu").read_bytes() for name in ("one", "other")]
    assert images[0] == images[1]


def test_layers_that_are_not_the_models_are_refused() -> None:
    graph = module()
    plan = together(graph, layered_plan(graph), "apart", 4)
    swapped = replace(graph, nodes=tuple(reversed(graph.nodes)))
    with pytest.raises(PlanError, match="no layer of model"):
        weights_of_steps(swapped, plan)
    again = plan.model_copy(update={"steps": (*plan.steps, layered_plan(graph).steps[2])})
    with pytest.raises(PlanError, match="two steps of the plan compute layer"):
        weights_of_steps(graph, again)


def test_neighbours_do_not_depend_on_each_other() -> None:
    graph = module()
    assert [(graph.nodes[one].name, graph.nodes[other].name) for one, other in neighbours(graph)] == [
        ("left", "right")
    ]
    other = Candidate(LayerSpec.of(graph, graph.nodes[0]), layered_plan(graph).steps[1].choice)
    assert node_side_by_side(graph, 0, SideBySide((other, other))) is None
    assert node_side_by_side(graph, 1, SideBySide((other, other))) is None
