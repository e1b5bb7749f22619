"""Canonicalisation: equal computations get equal operators, so that they share measurements."""

from __future__ import annotations

from codegen.graph import Conv2d, FullyConnected, Graph, Node, Reshape
from codegen.passes.rewrite import fresh_node, fresh_tensor, substitute, with_weights
from codegen.tensor import TensorType


def canonicalize(graph: Graph) -> Graph:
    """A 1x1 convolution of a 1x1 plane becomes a FullyConnected between Reshapes."""
    for node in graph.nodes:
        if isinstance(node.op, Conv2d) and _is_matrix(node.op, graph.types[node.inputs[0]]):
            graph = _as_matrix(graph, node, node.op)
    return graph


def _is_matrix(op: Conv2d, source: TensorType) -> bool:
    return op.kernel == (1, 1) and op.groups == 1 and op.pads == (0, 0, 0, 0) and source.shape[2:] == (1, 1)


def _as_matrix(graph: Graph, node: Node, op: Conv2d) -> Graph:
    weight, bias = graph.weights_of(node)
    batch, inputs = graph.types[node.inputs[0]].shape[:2]
    before, after = (fresh_tensor(graph, f"{node.output}/{end}") for end in ("vector", "product"))
    types = {before: TensorType((batch, inputs)), after: TensorType((batch, weight.shape[0]))}
    product, constants = with_weights(
        graph,
        Node(node.name, FullyConnected(op.activation), (before,), after),
        ("weight", "bias"),
        (weight.reshape(weight.shape[:2]), bias),
    )
    nodes = (
        Node(fresh_node(graph, f"{node.name}/vector"), Reshape(), node.inputs, before),
        product,
        Node(fresh_node(graph, f"{node.name}/plane"), Reshape(), (after,), node.output),
    )
    return substitute(graph, {node.name: nodes}, types=types, constants=constants)
