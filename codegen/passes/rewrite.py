"""Rewriting steps that the passes share; each returns a new graph."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from codegen.graph import Graph, Node, Reshape
from codegen.tensor import Array, TensorType


def substitute(
    graph: Graph,
    replacements: Mapping[str, Sequence[Node]],
    *,
    types: Mapping[str, TensorType] | None = None,
    constants: Mapping[str, Array] | None = None,
) -> Graph:
    """Puts other nodes, or none, in the place of the nodes named; tensors and constants left unused go."""
    nodes = tuple(new for node in graph.nodes for new in replacements.get(node.name, (node,)))
    tensors = {*graph.inputs, *(tensor for node in nodes for tensor in (*node.inputs, node.output))}
    weights = {name for node in nodes for name in node.weights}
    return replace(
        graph,
        nodes=nodes,
        types={name: type_ for name, type_ in {**graph.types, **(types or {})}.items() if name in tensors},
        constants={
            name: value for name, value in {**graph.constants, **(constants or {})}.items() if name in weights
        },
    )


def chain_above(graph: Graph, tensor: str) -> tuple[Node, ...]:
    """The node that writes `tensor`, below it the Reshapes passed on the way down: the first is no Reshape.

    Empty where the chain is read from outside it, for then none of its nodes may change what they compute.
    """
    chain: list[Node] = []
    while True:
        node = graph.producer(tensor)
        if node is None or tensor in graph.outputs or len(graph.consumers(tensor)) != 1:
            return ()
        chain.insert(0, node)
        if not isinstance(node.op, Reshape):
            return tuple(chain)
        tensor = node.inputs[0]


def absorb(
    graph: Graph,
    chain: Sequence[Node],
    head: Node,
    absorbed: Node,
    constants: Mapping[str, Array] | None = None,
) -> Graph:
    """Drops `absorbed`, which reads the end of `chain`: `head` takes the place of the chain's first node.

    The chain's last node writes what `absorbed` wrote, so that graph outputs keep their names.
    """
    renewed = [head, *chain[1:]]
    renewed[-1] = replace(renewed[-1], output=absorbed.output)
    replacements: dict[str, Sequence[Node]] = {
        old.name: (new,) for old, new in zip(chain, renewed, strict=True)
    }
    return substitute(graph, {**replacements, absorbed.name: ()}, constants=constants)


def with_weights(
    graph: Graph, node: Node, roles: Sequence[str], values: Sequence[Array]
) -> tuple[Node, dict[str, Array]]:
    """The node with other values for its weights, and these as new constants named `node.role`."""
    taken = {name for other in graph.nodes if other.name != node.name for name in other.weights}
    names = tuple(fresh_name(f"{node.name}.{role}", taken) for role in roles)
    arrays: dict[str, Array] = {
        name: np.ascontiguousarray(value, dtype=np.float32) for name, value in zip(names, values, strict=True)
    }
    return replace(node, weights=names), arrays


def fresh_name(wanted: str, taken: set[str]) -> str:
    """`wanted`, or with a number behind it where it is taken."""
    name, suffix = wanted, 2
    while name in taken:
        name, suffix = f"{wanted}_{suffix}", suffix + 1
    return name


def fresh_node(graph: Graph, wanted: str) -> str:
    """A node name that the graph does not have yet."""
    return fresh_name(wanted, {node.name for node in graph.nodes})


def fresh_tensor(graph: Graph, wanted: str) -> str:
    """A tensor name that the graph does not have yet."""
    return fresh_name(wanted, set(graph.types))
