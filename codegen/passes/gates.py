"""Gates: a tensor times a function of itself, as exporters write x * sigmoid(x), becomes one elementwise layer."""

from __future__ import annotations

from dataclasses import replace

from codegen.expression import Expression, Operand
from codegen.graph import Graph, Node
from codegen.operators.elementwise import Map
from codegen.passes.rewrite import GraphEditor


def unite_gates(graph: Graph) -> Graph:
    """Every Map of a tensor and of a Map of that tensor alone, which nothing else reads, computes both. Neither has
    weights, and the inner one's result stands once in the outer expression: nothing is computed twice.
    """
    editor = GraphEditor(graph)
    for name in [node.name for node in graph.nodes if isinstance(node.op, Map)]:
        node = editor.node(name)
        for tensor in node.inputs:
            inner = editor.producer(tensor)
            if inner is not None and _is_gate(editor, node, inner):
                node = _united(node, inner)
                editor.substitute({inner.name: (), name: (node,)})
    return editor.graph()


def _is_gate(editor: GraphEditor, outer: Node, inner: Node) -> bool:
    if not isinstance(outer.op, Map) or not isinstance(inner.op, Map) or outer.weights or inner.weights:
        return False
    (result,) = inner.outputs
    is_alone = len(inner.inputs) == 1 and inner.inputs[0] in outer.inputs and editor.is_read_once(result)
    return is_alone and _occurrences(outer.op.expression, outer.inputs.index(result)) == 1


def _occurrences(expression: Expression, index: int) -> int:
    return sum(operand.index == index for operand in expression.operands)


def _united(outer: Node, inner: Node) -> Node:
    assert isinstance(outer.op, Map) and isinstance(inner.op, Map)
    inputs = list(dict.fromkeys(tensor for tensor in outer.inputs if tensor not in inner.outputs))
    own = Operand(inputs.index(inner.inputs[0]))
    values = [
        inner.op.expression.substitute([own]) if tensor in inner.outputs else Operand(inputs.index(tensor))
        for tensor in outer.inputs
    ]
    op = replace(outer.op, expression=outer.op.expression.substitute(values))
    return replace(outer, op=op, inputs=tuple(inputs))
