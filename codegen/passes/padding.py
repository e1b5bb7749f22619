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
from codegen.passes.rewrite import GraphEditor
from codegen.shapes import Pads, infer_shape


def fold_padding(graph: Graph) -> Graph:
    """Removes every Pad2d: into the operators that read it, else it becomes a depthwise 1x1 convolution by ones."""
    editor = GraphEditor(graph)
    positive: set[str] = set()  # the tensors so far that hold no number below 0, as the operators alone say
    for name in [node.name for node in graph.nodes]:
        node = editor.node(name)
        if isinstance(node.op, Pad2d):
            _remove(editor, node, node.op, node.inputs[0] in positive)
        elif _is_non_negative(node.op, all(tensor in positive for tensor in node.inputs)):
            positive.add(node.output)
    return editor.graph()


def _remove(editor: GraphEditor, node: Node, op: Pad2d, positive: bool) -> None:
    replacements: dict[str, tuple[Node, ...]] = {}
    left = editor.is_output(node.output)
    for reader in editor.consumers(node.output):
        wider = _with_pads(reader.op, op.pads, positive)
        if wider is None or not _fits(editor, replace(reader, op=wider, inputs=node.inputs)):
            left = True
        else:
            replacements[reader.name] = (replace(reader, op=wider, inputs=node.inputs),)
    if not left:
        editor.substitute({**replacements, node.name: ()})
        return
    channels = editor.types[node.output].shape[1]
    conv, constants = editor.with_weights(
        replace(node, op=Conv2d((1, 1), pads=op.pads, groups=channels)),
        ("weight", "bias"),
        (np.ones((channels, 1, 1, 1), dtype=np.float32), np.zeros(channels, dtype=np.float32)),
    )
    editor.substitute({**replacements, node.name: (conv,)}, constants=constants)


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


def _fits(editor: GraphEditor, node: Node) -> bool:
    """Whether every window still sees an element."""
    inputs = [editor.types[tensor].shape for tensor in node.inputs]
    weights = [tuple(value.shape) for value in editor.weights_of(node)]
    output = editor.types[node.output].shape
    try:
        return infer_shape(node.op, inputs, weights, output) == output
    except GraphSpecError:
        return False


def _sum(first: Pads, second: Pads) -> Pads:
    top, left, bottom, right = (a + b for a, b in zip(first, second, strict=True))
    return top, left, bottom, right


def _is_non_negative(op: Operator, sources: bool) -> bool:
    """Whether an operator gives no number below 0, where `sources` says that of all its inputs."""
    if isinstance(op, Clamp | Conv2d | ConvTranspose2d | FullyConnected | Add | Pool2d):
        low, high = op.activation.low, op.activation.high
        if high is not None and high < 0.0:
            return False
        if low is not None and low >= 0.0:
            return True
    return sources and isinstance(op, Clamp | Add | Pool2d | Concat | Reshape)
