"""Padding folding: zeros around a plane become pads of the operator that reads it, where that is exact."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from codegen.errors import GraphSpecError
from codegen.graph import Graph, Node, type_of
from codegen.interval import ANYTHING, Interval
from codegen.operators.conv2d import Conv2d
from codegen.operators.pad2d import Pad2d
from codegen.passes.rewrite import GraphEditor


def fold_padding(graph: Graph) -> Graph:
    """Removes every Pad2d: into the operators that read it, else it becomes a depthwise 1x1 convolution by ones."""
    editor = GraphEditor(graph)
    ranges: dict[str, Interval] = {}  # of the tensors so far, as the operators alone say
    for name in [node.name for node in graph.nodes]:
        node = editor.node(name)
        inputs = [ranges.get(tensor, ANYTHING) for tensor in node.inputs]
        if isinstance(node.op, Pad2d):
            _remove(editor, node, node.op, inputs[0])
        ranges.update(dict.fromkeys(node.outputs, node.op.range(inputs)))
    return editor.graph()


def _remove(editor: GraphEditor, node: Node, op: Pad2d, input_range: Interval) -> None:
    replacements: dict[str, tuple[Node, ...]] = {}
    left = editor.is_output(node.output)
    for reader in editor.consumers(node.output):
        wider = reader.op.padded_by(op.pads, input_range)
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


def _fits(editor: GraphEditor, node: Node) -> bool:
    """Whether every window still sees an element."""
    inputs = [editor.types[tensor] for tensor in node.inputs]
    outputs = tuple(editor.types[tensor] for tensor in node.outputs)
    try:
        return node.op.infer(inputs, list(map(type_of, editor.weights_of(node))), outputs) == outputs
    except GraphSpecError:
        return False
