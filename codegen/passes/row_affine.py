"""Folding of what is added to rows, or multiplies them, into the matrix that gives them."""

from __future__ import annotations

import numpy as np

from codegen.expression import Apply, Constant, Expression, Operand
from codegen.graph import Graph, Node
from codegen.operators.elementwise import Map
from codegen.operators.fully_connected import FullyConnected
from codegen.passes.rewrite import GraphEditor, absorb, chain_above
from codegen.tensor import Doubles


def fold_row_affines(graph: Graph) -> Graph:
    """A sum or product with one number for each column moves into the FullyConnected before it, also behind Reshapes
    that keep the columns: the bias of a matrix product of more than two axes. As in batch-norm folding, weights are
    computed in float64 and rounded once.
    """
    editor = GraphEditor(graph)
    for name in [node.name for node in graph.nodes if isinstance(node.op, Map)]:
        node = editor.node(name)
        affine = _affine(editor, node)
        chain = _columns_above(editor, node) if affine else ()
        if affine is None or not chain:
            continue
        head = chain[0]
        folded = head.op.scaled(editor.weights_of(head), *affine)
        if folded is not None:
            head, constants = editor.with_weights(head, ("weight", "bias"), folded)
            absorb(editor, chain, head, node, constants)
    return editor.graph()


def _affine(editor: GraphEditor, node: Node) -> tuple[Doubles, Doubles] | None:
    """Factor and offset of each column; None where the node computes something else."""
    assert isinstance(node.op, Map)
    expression, columns = node.op.expression, editor.types[node.output].shape[-1:]
    if len(node.inputs) != 1 or not columns or not isinstance(expression, Apply):
        return None
    if expression.primitive not in ("add", "mul"):
        return None
    first, second = expression.arguments
    constant = second if first == Operand(0) else first
    if Operand(0) not in (first, second) or constant == Operand(0):
        return None
    value = _value(editor, node, constant)
    if value is None or value.shape[-1:] not in ((1,), columns) or value.size != value.shape[-1]:
        return None
    given = np.array(np.broadcast_to(value.reshape(-1), columns), dtype=np.float64)
    if expression.primitive == "add":
        return np.ones(columns), given
    return given, np.zeros(columns)


def _value(editor: GraphEditor, node: Node, constant: Expression) -> Doubles | None:
    """An operand that is a number or the node's only weight."""
    if isinstance(constant, Constant):
        return np.array([constant.value])
    if not isinstance(constant, Operand) or len(node.weights) != 1:
        return None
    (value,) = editor.weights_of(node)
    return np.asarray(value, dtype=np.float64) if value.ndim else np.asarray([value], dtype=np.float64)


def _columns_above(editor: GraphEditor, node: Node) -> tuple[Node, ...]:
    """The FullyConnected that writes the node's input, and the Reshapes between, all with the same columns."""
    chain = chain_above(editor, node.inputs[0])
    if not chain or not isinstance(chain[0].op, FullyConnected) or len(chain[0].outputs) != 1:
        return ()
    kept = {editor.types[tensor].shape[-1:] for tensor in (*(link.output for link in chain), node.output)}
    same = editor.types[node.inputs[0]] == editor.types[node.output]
    return chain if len(kept) == 1 and same else ()
