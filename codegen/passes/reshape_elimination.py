"""Reshape elimination: one instead of several in a row, and none where the shape stays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from codegen.graph import Graph, Node
from codegen.operators.reshape import Reshape
from codegen.passes.rewrite import substitute


def eliminate_reshapes(graph: Graph) -> Graph:
    """Reshapes read past other Reshapes; those to the same shape go, except between the graph's own ends."""
    return _without_copies(_read_past(graph))


def _read_past(graph: Graph) -> Graph:
    source: dict[str, str] = {}
    renewed: dict[str, tuple[Node, ...]] = {}
    for node in graph.nodes:
        if isinstance(node.op, Reshape):
            tensor = node.inputs[0]
            source[node.output] = source.get(tensor, tensor)
            renewed[node.name] = (replace(node, inputs=(source[node.output],)),)
    return substitute(graph, renewed)


def _without_copies(graph: Graph) -> Graph:
    """The graph without Reshapes that do nothing; the output's name survives where it is the graph's."""
    outputs, renamed = frozenset(graph.outputs), dict[str, str]()
    dropped: set[str] = set()
    for node in graph.nodes:
        if not isinstance(node.op, Reshape):
            continue
        source = _current(renamed, node.inputs[0])
        if graph.types[source] != graph.types[node.output]:
            continue
        if node.output not in outputs:
            renamed[node.output] = source
        elif source in outputs or graph.producer(source) is None:
            continue  # one result under two names, or a copy of an input
        else:
            renamed[source] = node.output
        dropped.add(node.name)
    return substitute(
        graph,
        {node.name: () if node.name in dropped else (_renamed(node, renamed),) for node in graph.nodes},
    )


def _current(renamed: Mapping[str, str], tensor: str) -> str:
    """The name that a tensor goes by: its copy's source, and that source's as an output of the graph."""
    while tensor in renamed:
        tensor = renamed[tensor]
    return tensor


def _renamed(node: Node, renamed: Mapping[str, str]) -> Node:
    inputs, outputs = (
        tuple(_current(renamed, tensor) for tensor in tensors) for tensors in (node.inputs, node.outputs)
    )
    return replace(node, inputs=inputs, outputs=outputs)
