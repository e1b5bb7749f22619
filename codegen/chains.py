"""Runs of layers of a fused graph that may be computed together: candidates for a composition, not decisions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from codegen.free_name import free_name
from codegen.graph import Graph, LayerSpec, Node
from codegen.operators.chain import Chain
from codegen.operators.side_by_side import SideBySide

MOST_WINDOWS = 3  # layers with a sliding window in one chain; an addition may follow


@dataclass(frozen=True)
class ChainNode:
    """A run of the graph's nodes, from number `first` to `last`, as one node."""

    node: Node
    first: int
    last: int


def chain_nodes(graph: Graph) -> tuple[ChainNode, ...]:
    """Every chain of neighbouring nodes of which each is the only reader of the one before it.

    A chain has two or three convolutions and pools, or at least one and an addition behind it, or a concatenation and
    one convolution or pool behind it. What lies between
    its members is no output of the graph and nobody else reads it. Its name is `first..last`, as `free_name` has it:
    none of a layer or of another chain.
    """
    outputs = frozenset(graph.outputs)
    taken = {node.name for node in graph.nodes}
    chains = []
    for first in range(len(graph.nodes)):
        for last in _ends(graph, first, outputs):
            name = free_name(f"{graph.nodes[first].name}..{graph.nodes[last].name}", taken)
            taken.add(name)
            chains.append(ChainNode(_node(graph, name, first, last), first, last))
    return tuple(chains)


def neighbours(graph: Graph) -> tuple[tuple[int, int], ...]:
    """The numbers of every two nodes that follow each other and do not depend on each other."""
    pairs = enumerate(zip(graph.nodes, graph.nodes[1:], strict=False))
    return tuple((n, n + 1) for n, (one, other) in pairs if _are_independent(one, other))


def _are_independent(one: Node, behind: Node) -> bool:
    return not {*one.outputs} & {*behind.inputs}


def node_side_by_side(graph: Graph, first: int, op: SideBySide, name: str = "") -> ChainNode | None:
    """A node and the next one of the graph as one; None where these are not the operator's members, or depend on each
    other. It is named `first+second`, as `free_name` has it, or as is said.
    """
    nodes = graph.nodes[first : first + 2]
    if len(nodes) < 2 or not _are_independent(*nodes):
        return None
    if tuple(LayerSpec.of(graph, node) for node in nodes) != tuple(one.spec for one in op.members):
        return None
    inputs, outputs, weights = (
        tuple(tensor for node in nodes for tensor in getattr(node, kind))
        for kind in ("inputs", "outputs", "weights")
    )
    own = name or free_name("+".join(node.name for node in nodes), {node.name for node in graph.nodes})
    return ChainNode(Node(own, op, inputs, outputs, weights), first, first + 1)


def _ends(graph: Graph, first: int, outputs: frozenset[str]) -> Iterator[int]:
    windows, begins = 0, graph.nodes[first].op.chain_part == "begin"
    for index in range(first, len(graph.nodes)):
        node = graph.nodes[index]
        if index > first and not _follows(graph, graph.nodes[index - 1], node, outputs):
            return
        part = node.op.chain_part
        if part == "window":
            windows += 1
            if windows > (1 if begins else MOST_WINDOWS):
                return
        elif part != ("begin" if index == first else "end") or (part == "end" and begins):
            return
        if index > first:
            yield index
        if part == "end":
            return


def _follows(graph: Graph, before: Node, node: Node, outputs: frozenset[str]) -> bool:
    """Whether `node` alone reads what `before` writes, and reads it once."""
    only = graph.consumers(before.output) == (node,) and before.output not in outputs
    return only and node.inputs.count(before.output) == 1


def _node(graph: Graph, chain_name: str, first: int, last: int) -> Node:
    nodes = graph.nodes[first : last + 1]
    inputs: list[str] = []
    sources = []
    for index, node in enumerate(nodes):
        own = []
        for name in node.inputs:
            if index and name == nodes[index - 1].output:
                own.append(-1)
                continue
            if name not in inputs:
                inputs.append(name)
            own.append(inputs.index(name))
        sources.append(tuple(own))
    op = Chain(tuple(LayerSpec.of(graph, node) for node in nodes), tuple(sources))
    weights = tuple(name for node in nodes for name in node.weights)
    return Node(chain_name, op, tuple(inputs), nodes[-1].outputs, weights)
