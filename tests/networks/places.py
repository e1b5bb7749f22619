"""Where a plan computes the multiply-adds of a network, and why not on engines that launch."""

from __future__ import annotations

from collections import Counter

from codegen.algorithm import algorithms
from codegen.chains import chain_nodes
from codegen.engine_registry import engine_named
from codegen.graph import Graph, LayerSpec
from codegen.plan import Plan
from codegen.target import Target

ENOUGH = 0.95
LEAST = 0.005  # of all multiply-adds: less needs no reason


def launched_share(graph: Graph, plan: Plan) -> float | None:
    """The share of the multiply-adds in layers of engines that launch; None where there are none at all."""
    layers = _layers(graph)
    launched, total = _launched(graph, plan), sum(spec.macs for spec in layers.values())
    return sum(spec.macs for name, spec in layers.items() if name in launched) / total if total else None


def why_not_launched(graph: Graph, plan: Plan, target: Target) -> str:
    """Which operators' multiply-adds stay on the CPU, with their share and whether the engines that launch have an
    algorithm for them; empty where enough are launched.
    """
    share = launched_share(graph, plan)
    if share is None or share >= ENOUGH:
        return ""
    layers, launched, kept = _layers(graph), _launched(graph, plan), Counter[tuple[str, str]]()
    for name, spec in layers.items():
        if spec.macs and name not in launched:
            reason = "the CPU is faster" if _can_launch(spec, target) else "no algorithm of the QPUs takes it"
            kept[(type(spec.op).__name__, reason)] += spec.macs
    total = sum(spec.macs for spec in layers.values())
    return "; ".join(
        f"{operator} {macs / total:.0%}: {reason}"
        for (operator, reason), macs in kept.most_common()
        if macs > LEAST * total
    )


def _layers(graph: Graph) -> dict[str, LayerSpec]:
    return {node.name: LayerSpec.of(graph, node) for node in graph.nodes}


def _launched(graph: Graph, plan: Plan) -> set[str]:
    """Names of layers, those that are members of a chain among them."""
    names = {step.name for step in plan.steps if engine_named(step.choice.engine).launches}
    chains = [chain for chain in chain_nodes(graph) if chain.node.name in names]
    return names | {node.name for chain in chains for node in graph.nodes[chain.first : chain.last + 1]}


def _can_launch(spec: LayerSpec, target: Target) -> bool:
    return any(
        engine_named(algorithm.engine).launches and algorithm.applies(spec, target)
        for algorithm in algorithms().values()
    )
