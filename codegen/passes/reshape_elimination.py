"""Reshape elimination: one instead of several in a row, and none where the shape stays."""

from __future__ import annotations

from dataclasses import replace

from codegen.graph import Graph, Node, Reshape
from codegen.passes.rewrite import substitute


def eliminate_reshapes(graph: Graph) -> Graph:
    """Reshapes read past other Reshapes; those to the same shape go, except between the graph's own ends."""
    graph = _read_past(graph)
    for name in [node.name for node in graph.nodes if isinstance(node.op, Reshape)]:
        node = next(node for node in graph.nodes if node.name == name)
        if graph.types[node.inputs[0]] == graph.types[node.output]:
            graph = _without(graph, node)
    return graph


def _read_past(graph: Graph) -> Graph:
    source: dict[str, str] = {}
    renewed: dict[str, tuple[Node, ...]] = {}
    for node in graph.nodes:
        if isinstance(node.op, Reshape):
            tensor = node.inputs[0]
            source[node.output] = source.get(tensor, tensor)
            renewed[node.name] = (replace(node, inputs=(source[node.output],)),)
    return substitute(graph, renewed)


def _without(graph: Graph, node: Node) -> Graph:
    """The graph without a Reshape that does nothing; its output's name survives where it is the graph's."""
    source, target = node.inputs[0], node.output
    if target not in graph.outputs:
        return substitute(graph, {node.name: (), **_renamed(graph, target, source)})
    producer = graph.producer(source)
    if producer is None or source in graph.outputs:
        return graph  # a copy of an input, or one result under two names
    renamed = _renamed(graph, source, target)
    renamed[producer.name] = (replace(producer, output=target),)
    return substitute(graph, {**renamed, node.name: ()})


def _renamed(graph: Graph, old: str, new: str) -> dict[str, tuple[Node, ...]]:
    """The consumers of a tensor, reading another one."""
    return {
        node.name: (replace(node, inputs=tuple(new if tensor == old else tensor for tensor in node.inputs)),)
        for node in graph.consumers(old)
    }
