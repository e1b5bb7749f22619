"""The constants that the steps of a plan take from the network it was made for."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

from codegen.algorithm import algorithm_named
from codegen.bundle.filled import filled_shares
from codegen.canonical import content_hash
from codegen.chains import ChainNode, chain_nodes, node_side_by_side
from codegen.engine_registry import engine_named
from codegen.errors import PlanError
from codegen.free_name import free_name
from codegen.graph import Graph, LayerSpec
from codegen.operators.relayout import Relayout
from codegen.operators.side_by_side import SideBySide
from codegen.plan import Plan, PlanStep
from codegen.stored_weights import StoresNarrow, weight_type
from codegen.tensor import FloatArray


def as_stored(graph: Graph, plan: Plan) -> Graph:
    """The graph with the weights that a bundle of the plan computes with: some rounded. Of a chain those of its first
    layer.
    """
    filled = filled_shares(plan.steps)
    nodes = {node.name: node for node in graph.nodes}
    chains = {chain.node.name: chain for chain in chain_nodes(graph)}
    narrow = {}
    for step in plan.steps:
        if weight_type(step.choice) != "float32":
            chain = chains.get(step.name)
            node = graph.nodes[chain.first] if chain else nodes[step.name]
            constants = cast(tuple[FloatArray, ...], graph.weights_of(node))
            names = [free_name(f"{node.name}.stored{i}", graph.constants) for i in range(len(constants))]
            engine, algorithm = engine_named(step.choice.engine), algorithm_named(step.choice.algorithm)
            assert isinstance(engine, StoresNarrow)
            share = filled.get(step.inputs[0], 1.0)
            own = engine.stored(algorithm, step.candidate, constants, share)
            narrow[node.name] = dict(zip(names, own, strict=True))
    return replace(
        graph,
        nodes=tuple(
            replace(node, weights=tuple(narrow[node.name])) if node.name in narrow else node
            for node in graph.nodes
        ),
        constants={**graph.constants, **{name: x for own in narrow.values() for name, x in own.items()}},
    )


def weights_of_steps(graph: Graph, plan: Plan) -> list[tuple[FloatArray, ...]]:
    """The constants of every step; raises PlanError unless every layer is in one step, alone, in a chain or side by
    side with another.
    """
    nodes = {node.name: node for node in graph.nodes}
    chains = {chain.node.name: chain for chain in chain_nodes(graph)}
    found: list[tuple[FloatArray, ...]] = []
    planned: set[str] = set()
    for step in plan.steps:
        if isinstance(step.spec.op, Relayout):
            found.append(())
            continue
        chain = _side_by_side(graph, step) or chains.get(step.name)
        node = chain.node if chain else nodes.get(step.name)
        if node is None or content_hash(LayerSpec.of(graph, node)) != step.spec_hash:
            raise PlanError(
                f"step {step.name!r} of the plan is no layer of model {graph.name!r}, or another one; "
                "make a new plan by `explore run`"
            )
        if (node.inputs, node.outputs) != (step.inputs, step.outputs):
            raise PlanError(
                f"step {step.name!r} reads or writes other tensors than the model's layer; make a new plan"
            )
        members = graph.nodes[chain.first : chain.last + 1] if chain else (node,)
        twice = [member.name for member in members if member.name in planned]
        if twice:
            raise PlanError(
                f"two steps of the plan compute layer {twice[0]!r}; make a new plan by `explore run`"
            )
        planned.update(member.name for member in members)
        # Most algorithms take float32 alone: constants of other types go to those that look.
        found.append(cast(tuple[FloatArray, ...], graph.weights_of(node)))
    missing = [name for name in nodes if name not in planned]
    if missing:
        raise PlanError(f"the plan has no step for layer {missing[0]!r}; make a new plan by `explore run`")
    return found


def _side_by_side(graph: Graph, step: PlanStep) -> ChainNode | None:
    """The two layers that a step computes at the same time; None where it does not."""
    op = step.spec.op
    first = next((n for n, node in enumerate(graph.nodes) if node.outputs[0] == step.outputs[0]), None)
    if not isinstance(op, SideBySide) or first is None:
        return None
    return node_side_by_side(graph, first, op, step.name)
