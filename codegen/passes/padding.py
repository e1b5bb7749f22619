"""Padding folding: zeros around a plane become pads of the operator that reads it, where that is exact."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from codegen.errors import GraphSpecError
from codegen.graph import (
    Add,
    Clamp,
    Concat,
    Conv2d,
    ConvTranspose2d,
    FullyConnected,
    Graph,
    Node,
    Operator,
    Pad2d,
    Pool2d,
    Reshape,
)
from codegen.passes.rewrite import substitute, with_weights
from codegen.shapes import Pads, infer_shape


def fold_padding(graph: Graph) -> Graph:
    """Removes every Pad2d: into the operators that read it, else it becomes a depthwise 1x1 convolution by ones."""
    while True:
        node = next((node for node in graph.nodes if isinstance(node.op, Pad2d)), None)
        if node is None:
            return graph
        graph = _without(graph, node, node.op)


def _without(graph: Graph, node: Node, op: Operator) -> Graph:
    assert isinstance(op, Pad2d)
    positive = node.inputs[0] in _non_negative(graph)
    replacements: dict[str, tuple[Node, ...]] = {}
    left = node.output in graph.outputs
    for reader in graph.consumers(node.output):
        wider = _with_pads(reader.op, op.pads, positive)
        if wider is None or not _fits(graph, replace(reader, op=wider, inputs=node.inputs)):
            left = True
        else:
            replacements[reader.name] = (replace(reader, op=wider, inputs=node.inputs),)
    if not left:
        return substitute(graph, {**replacements, node.name: ()})
    channels = graph.types[node.output].shape[1]
    conv, constants = with_weights(
        graph,
        replace(node, op=Conv2d((1, 1), pads=op.pads, groups=channels)),
        ("weight", "bias"),
        (np.ones((channels, 1, 1, 1), dtype=np.float32), np.zeros(channels, dtype=np.float32)),
    )
    return substitute(graph, {**replacements, node.name: (conv,)}, constants=constants)


def _with_pads(op: Operator, pads: Pads, positive: bool) -> Operator | None:
    """The operator that pads its input itself, or None where its padding is no zeros.

    The maximum takes no part in its padding: the same as zeros only where nothing is below them. The mean
    counts zeros as elements, and has one kind of padding.
    """
    if isinstance(op, Pad2d | Conv2d) or (isinstance(op, Pool2d) and op.kind == "max" and positive):
        return replace(op, pads=_sum(op.pads, pads))
    if isinstance(op, Pool2d) and op.kind == "average" and (op.include_padding or not any(op.pads)):
        return replace(op, pads=_sum(op.pads, pads), include_padding=True)
    return None


def _fits(graph: Graph, node: Node) -> bool:
    """Whether every window still sees an element."""
    inputs = [graph.types[tensor].shape for tensor in node.inputs]
    weights = [tuple(value.shape) for value in graph.weights_of(node)]
    output = graph.types[node.output].shape
    try:
        return infer_shape(node.op, inputs, weights, output) == output
    except GraphSpecError:
        return False


def _sum(first: Pads, second: Pads) -> Pads:
    top, left, bottom, right = (a + b for a, b in zip(first, second, strict=True))
    return top, left, bottom, right


def _non_negative(graph: Graph) -> set[str]:
    """The tensors that hold no number below 0, as far as the operators alone say so."""
    found: set[str] = set()
    for node in graph.nodes:
        sources = all(tensor in found for tensor in node.inputs)
        if _is_non_negative(node.op, sources):
            found.add(node.output)
    return found


def _is_non_negative(op: Operator, sources: bool) -> bool:
    if isinstance(op, Clamp | Conv2d | ConvTranspose2d | FullyConnected | Add | Pool2d):
        low, high = op.activation.low, op.activation.high
        if high is not None and high < 0.0:
            return False
        if low is not None and low >= 0.0:
            return True
    return sources and isinstance(op, Clamp | Add | Pool2d | Concat | Reshape | Pad2d)
