"""Chains and layout changes beside layers of any name."""

from __future__ import annotations

from pathlib import Path

from codegen.bundle import compile_bundle
from codegen.chains import chain_nodes
from codegen.free_name import free_name
from codegen.graph import Graph
from codegen.operators.conv2d import Conv2d
from codegen.plan import Plan
from tests.codegen.planned import PI_ZERO, GraphBuilder, plan_of, qpu_plan

POINTWISE = Conv2d((1, 1))
WEIGHTS = [(4, 4, 1, 1), (4,)]


def layers(*names: str) -> Graph:
    build, tensor = GraphBuilder("named", (1, 4, 2, 2)), "x"
    for name in names:
        tensor = build.add(POINTWISE, tensor, WEIGHTS, name=name)
    return build.build(tensor)


def test_a_chain_is_called_like_no_layer_and_no_other_chain() -> None:
    graph = layers("a", "b", "a..b", "b..c", "c")
    names = [chain.node.name for chain in chain_nodes(graph)]
    assert len({*names, *(node.name for node in graph.nodes)}) == len(names) + len(graph.nodes)
    assert names[0] == "a..b'"


def test_chains_of_ordinary_layers_keep_the_names_that_plans_have() -> None:
    assert [chain.node.name for chain in chain_nodes(layers("a", "b", "c"))] == ["a..b", "a..c", "b..c"]


def test_a_plan_with_such_layers_compiles(tmp_path: Path) -> None:
    graph = layers("a", "b", "a..b")
    manifest = compile_bundle(graph, plan_of(graph), PI_ZERO, tmp_path)
    assert manifest.steps == ("a", "b", "a..b")


def test_a_plan_with_a_layer_called_like_a_layout_change_compiles(tmp_path: Path) -> None:
    graph = layers("relayout:x:pixel16", "last")
    plan = qpu_plan(layers("first", "last"))
    taken = {node.name for node in graph.nodes}
    renamed = [
        step.model_copy(
            update={"name": "relayout:x:pixel16" if step.name == "first" else free_name(step.name, taken)}
        )
        if step.name != "last"
        else step
        for step in plan.steps
    ]
    plan = Plan.model_validate(plan.model_copy(update={"steps": tuple(renamed)}).model_dump())
    manifest = compile_bundle(graph, plan, PI_ZERO, tmp_path)
    assert manifest.steps[:2] == ("relayout:x:pixel16'", "relayout:x:pixel16")
