"""Dead code removal: what no output depends on."""

from __future__ import annotations

from codegen.graph import Graph
from codegen.passes.rewrite import substitute


def remove_dead_code(graph: Graph) -> Graph:
    """Removes nodes that no output needs, their tensors and their constants; the inputs stay, used or not."""
    needed = set(graph.outputs)
    for node in reversed(graph.nodes):
        if not needed.isdisjoint(node.outputs):
            needed.update(node.inputs)
    return substitute(graph, {node.name: () for node in graph.nodes if needed.isdisjoint(node.outputs)})
