"""Batch-norm folding: into the convolution or matrix before it, else a layer of its own."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from codegen.expression import RESULT, Constant, Expression, Operand
from codegen.graph import Graph, Node
from codegen.operators.batch_normalization import BatchNormalization, affine_of
from codegen.operators.conv2d import Conv2d
from codegen.operators.elementwise import Map
from codegen.operators.reshape import Reshape
from codegen.passes.rewrite import GraphEditor, absorb, chain_above
from codegen.tensor import Doubles, TensorType


def fold_batch_normalization(graph: Graph) -> Graph:
    """Removes every BatchNormalization; weights are computed in float64 and rounded once to float32.

    With f = scale / sqrt(variance + epsilon): w' = w f, b' = (b - mean) f + bias (Ioffe and Szegedy 2015,
    algorithm 2).
    """
    editor = GraphEditor(graph)
    for name in [node.name for node in graph.nodes if isinstance(node.op, BatchNormalization)]:
        node = editor.node(name)
        assert isinstance(node.op, BatchNormalization)
        factor, offset = affine_of(node.op, editor.weights_of(node))
        chain = _channels_above(editor, node)
        head = chain[0] if chain else None
        folded = head.op.scaled(editor.weights_of(head), factor, offset) if head else None
        if head and folded is not None:
            head, constants = editor.with_weights(head, ("weight", "bias"), folded)
            absorb(editor, chain, head, node, constants)
        else:
            _stand_alone(editor, node, factor, offset)
    return editor.graph()


def _channels_above(editor: GraphEditor, node: Node) -> tuple[Node, ...]:
    """What writes the node's input, also behind Reshapes that keep (N, C); else nothing."""
    chain = chain_above(editor, node.inputs[0])
    if any(len(link.outputs) != 1 for link in chain):
        return ()
    kept = {editor.types[tensor].shape[:2] for tensor in (*(link.output for link in chain), node.output)}
    return chain if len(kept) == 1 else ()


def _stand_alone(editor: GraphEditor, node: Node, factor: Doubles, offset: Doubles) -> None:
    """A depthwise 1x1 convolution of planes, between Reshapes where it is read as another shape; a Map of rows, and
    where all channels have the same numbers, which goes with elementwise layers beside it.
    """
    if (_is_shared(factor) and _is_shared(offset)) or not _are_planes(editor, node.inputs[0]):
        _as_map(editor, node, factor, offset)
        return
    shape = editor.types[node.output].shape
    op = Conv2d((1, 1), groups=shape[1])
    conv, constants = editor.with_weights(
        replace(node, op=op), ("weight", "bias"), (factor.reshape(-1, 1, 1, 1), offset)
    )
    if len(shape) == 4:
        editor.substitute({node.name: (conv,)}, constants=constants)
        return
    plane = TensorType((*shape[:2], 1, math.prod(shape[2:])))
    before, after = (editor.fresh_tensor(f"{node.output}/{end}") for end in ("plane", "affine"))
    nodes = (
        Node(editor.fresh_node(f"{node.name}/plane"), Reshape(), node.inputs, (before,)),
        replace(conv, inputs=(before,), outputs=(after,)),
        Node(editor.fresh_node(f"{node.name}/shape"), Reshape(), (after,), node.outputs),
    )
    editor.substitute({node.name: nodes}, types={before: plane, after: plane}, constants=constants)


def _is_shared(value: Doubles) -> bool:
    """Whether all channels have the same finite float32."""
    rounded = value.astype(np.float32)
    return bool(np.all(rounded == rounded[0]) and np.isfinite(rounded[0]))


def _are_planes(editor: GraphEditor, tensor: str) -> bool:
    """Whether a tensor is (N, C, H, W), or one of these behind Reshapes that keep (N, C)."""
    kept = editor.types[tensor].shape[:2]
    while len(editor.types[tensor].shape) != 4:
        above = editor.producer(tensor)
        if above is None or not isinstance(above.op, Reshape):
            return False
        (tensor,) = above.inputs
        if editor.types[tensor].shape[:2] != kept:
            return False
    return True


def _as_map(editor: GraphEditor, node: Node, factor: Doubles, offset: Doubles) -> None:
    """Elementwise, so that it becomes one layer with elementwise ones beside it; numbers that all channels share are
    constants of the expression.
    """
    shape = editor.types[node.output].shape
    expression: Expression = RESULT
    roles: list[str] = []
    values: list[Doubles] = []

    def operand(role: str, value: Doubles) -> Expression:
        if _is_shared(value):
            return Constant(float(np.float32(value[0])))
        roles.append(role)
        values.append(value.reshape(-1, *(1,) * (len(shape) - 2)))
        return Operand(len(roles))

    if np.any(factor != 1.0):
        expression = expression * operand("factor", factor)
    if np.any(offset != 0.0):
        expression = expression + operand("offset", offset)
    if expression == RESULT:
        editor.substitute({node.name: (Node(node.name, Reshape(), node.inputs, node.outputs),)})
        return
    mapped, constants = editor.with_weights(replace(node, op=Map(expression)), roles, values)
    editor.substitute({node.name: (mapped,)}, constants=constants)
