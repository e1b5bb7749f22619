"""Canonicalisation: equal computations get equal operators, so that they share measurements."""

from __future__ import annotations

from codegen.graph import Graph, Node
from codegen.operators.conv2d import Conv2d
from codegen.operators.fully_connected import FullyConnected
from codegen.operators.reshape import Reshape
from codegen.passes.rewrite import GraphEditor
from codegen.tensor import TensorType


def canonicalize(graph: Graph) -> Graph:
    """A 1x1 convolution of a 1x1 plane becomes a FullyConnected between Reshapes."""
    editor = GraphEditor(graph)
    for node in graph.nodes:
        if isinstance(node.op, Conv2d) and _is_matrix(node, node.op, graph.types[node.inputs[0]]):
            _as_matrix(editor, node, node.op)
    return editor.graph()


def _is_matrix(node: Node, op: Conv2d, source: TensorType) -> bool:
    return (
        len(node.inputs) == 1
        and op.kernel == (1, 1)
        and op.groups == 1
        and op.pads == (0, 0, 0, 0)
        and source.shape[2:] == (1, 1)
    )


def _as_matrix(editor: GraphEditor, node: Node, op: Conv2d) -> None:
    weight, bias = editor.weights_of(node)
    batch, inputs = editor.types[node.inputs[0]].shape[:2]
    before, after = (editor.fresh_tensor(f"{node.output}/{end}") for end in ("vector", "product"))
    types = {before: TensorType((batch, inputs)), after: TensorType((batch, weight.shape[0]))}
    product, constants = editor.with_weights(
        Node(node.name, FullyConnected(op.epilogue), (before,), (after,)),
        ("weight", "bias"),
        (weight.reshape(weight.shape[:2]), bias),
    )
    nodes = (
        Node(editor.fresh_node(f"{node.name}/vector"), Reshape(), node.inputs, (before,)),
        product,
        Node(editor.fresh_node(f"{node.name}/plane"), Reshape(), (after,), node.outputs),
    )
    editor.substitute({node.name: nodes}, types=types, constants=constants)
