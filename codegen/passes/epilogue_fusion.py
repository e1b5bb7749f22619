"""Epilogue fusing: an elementwise layer of one input moves into the operator that writes it."""

from __future__ import annotations

from dataclasses import replace

from codegen.graph import Graph
from codegen.operators.elementwise import Map
from codegen.passes.rewrite import GraphEditor, absorb, chain_above


def fuse_epilogues(graph: Graph) -> Graph:
    """Fuses every Map of one tensor, without weights, into what writes that tensor and takes an epilogue, also behind
    Reshapes.
    """
    editor = GraphEditor(graph)
    for name in [node.name for node in graph.nodes if isinstance(node.op, Map)]:
        node = editor.node(name)
        assert isinstance(node.op, Map)
        chain = chain_above(editor, node.inputs[0]) if len(node.inputs) == 1 and not node.weights else ()
        fused = chain[0].op.fused_with(node.op.expression) if chain else None
        if fused is not None:
            absorb(editor, chain, replace(chain[0], op=fused), node)
    return editor.graph()
