"""Activation fusing: a Clamp moves into the operator that writes its input."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from codegen.graph import Activation, Add, Clamp, Conv2d, ConvTranspose2d, FullyConnected, Graph, Node, Pool2d
from codegen.passes.rewrite import GraphEditor, absorb, chain_above

# The operators that have an activation.
CLAMPING = (Conv2d, ConvTranspose2d, Pool2d, FullyConnected, Add, Clamp)


def fuse_activations(graph: Graph) -> Graph:
    """Fuses every Clamp that follows a Conv2d, ConvTranspose2d, Pool2d, FullyConnected, Add or Clamp, also behind
    Reshapes.
    """
    editor = GraphEditor(graph)
    for name in [node.name for node in graph.nodes if isinstance(node.op, Clamp)]:
        node = editor.node(name)
        chain = chain_above(editor, node.inputs[0])
        if chain:
            _fuse(editor, chain, node)
    return editor.graph()


def _fuse(editor: GraphEditor, chain: Sequence[Node], node: Node) -> None:
    producer = chain[0].op
    if isinstance(producer, CLAMPING) and isinstance(node.op, Clamp):
        activation = composed(producer.activation, node.op.activation)
        head = replace(chain[0], op=replace(producer, activation=activation))
        absorb(editor, chain, head, node)


def composed(first: Activation, second: Activation) -> Activation:
    """One clamp that does what two do after each other, ends that cross included."""
    low, high = first.low, first.high
    if low is not None and high is not None:
        low = min(low, high)  # crossing ends: everything becomes `high`
    return Activation(
        second.low if low is None else _applied(second, low),
        second.high if high is None else _applied(second, high),
    )


def _applied(activation: Activation, value: float) -> float:
    value = value if activation.low is None else max(value, activation.low)
    return value if activation.high is None else min(value, activation.high)
