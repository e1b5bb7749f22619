"""Batch-norm folding: into the convolution or matrix before it, else into a depthwise 1x1 convolution."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from codegen.graph import BatchNormalization, Conv2d, ConvTranspose2d, FullyConnected, Graph, Node, Reshape
from codegen.passes.rewrite import GraphEditor, absorb, chain_above
from codegen.tensor import TensorType

Doubles = NDArray[np.float64]


def fold_batch_normalization(graph: Graph) -> Graph:
    """Removes every BatchNormalization; weights are computed in float64 and rounded once to float32.

    With f = scale / sqrt(variance + epsilon): w' = w f, b' = (b - mean) f + bias (Ioffe and Szegedy 2015,
    algorithm 2).
    """
    editor = GraphEditor(graph)
    for name in [node.name for node in graph.nodes if isinstance(node.op, BatchNormalization)]:
        node = editor.node(name)
        chain = chain_above(editor, node.inputs[0])
        if _can_absorb(editor, chain, node):
            _fold(editor, chain, node)
        else:
            _stand_alone(editor, node)
    return editor.graph()


def _can_absorb(editor: GraphEditor, chain: Sequence[Node], node: Node) -> bool:
    """A linear producer whose channels are the normalised ones, also behind Reshapes that keep (N, C)."""
    if not chain or not isinstance(chain[0].op, Conv2d | ConvTranspose2d | FullyConnected):
        return False
    channels = {editor.types[tensor].shape[:2] for tensor in (*(link.output for link in chain), node.output)}
    return chain[0].op.activation.is_identity and len(channels) == 1


def _affine(editor: GraphEditor, node: Node) -> tuple[Doubles, Doubles]:
    """Factor and offset per channel, in float64."""
    scale, bias, mean, variance = (value.astype(np.float64) for value in editor.weights_of(node))
    assert isinstance(node.op, BatchNormalization)
    factor = scale / np.sqrt(variance + node.op.epsilon)
    return factor, bias - mean * factor


def _fold(editor: GraphEditor, chain: Sequence[Node], node: Node) -> None:
    factor, offset = _affine(editor, node)
    weight, bias = (value.astype(np.float64) for value in editor.weights_of(chain[0]))
    folded = weight * factor.reshape(-1, *(1,) * (weight.ndim - 1))
    head, constants = editor.with_weights(chain[0], ("weight", "bias"), (folded, bias * factor + offset))
    absorb(editor, chain, head, node, constants)


def _stand_alone(editor: GraphEditor, node: Node) -> None:
    """A depthwise 1x1 convolution, between Reshapes where the tensor is not (N, C, H, W)."""
    factor, offset = _affine(editor, node)
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
        Node(editor.fresh_node(f"{node.name}/plane"), Reshape(), node.inputs, before),
        replace(conv, inputs=(before,), output=after),
        Node(editor.fresh_node(f"{node.name}/shape"), Reshape(), (after,), node.output),
    )
    editor.substitute({node.name: nodes}, types={before: plane, after: plane}, constants=constants)
