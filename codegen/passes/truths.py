"""Truth values within expressions: a choice computes its own condition, so that no tensor of bool lies between them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from codegen.element_type import FLOAT32
from codegen.expression import Apply, Expression, Operand, apply, walk
from codegen.graph import Graph, Node
from codegen.operators.elementwise import Map
from codegen.operators.literal import Literal
from codegen.operators.typed_map import BOOL, TypedMap
from codegen.passes.rewrite import GraphEditor
from codegen.primitives import PRIMITIVES
from codegen.tensor import Array

_OF_TRUTHS: Mapping[str, Callable[..., Expression]] = {
    "and": lambda x, y: apply("min", x, y),
    "not": lambda x: 1.0 - x,
    "or": lambda x, y: apply("max", x, y),
    "xor": lambda x, y: abs(x - y),
}
"""Logic as arithmetic of zeros and ones."""


def unite_truths(graph: Graph) -> Graph:
    """Every TypedMap of float32 becomes a Map that computes the truth values it reads and has constants as weights,
    where its expression is one of Maps.
    """
    editor = GraphEditor(graph)
    for node in graph.nodes:
        if isinstance(node.op, TypedMap) and node.op.result == FLOAT32.name:
            _unite(editor, editor.node(node.name))
    return editor.graph()


@dataclass
class _Operands:
    """What an expression reads: activations, each once, and constants; numbered in the order of their discovery."""

    editor: GraphEditor
    inputs: list[str] = field(default_factory=list)
    weights: list[Array] = field(default_factory=list)
    order: list[tuple[bool, int]] = field(default_factory=list)  # whether a weight, and which

    def value(self, tensor: str) -> Expression | None:
        """A tensor's element as a number; None for tensors of other types."""
        producer, dtype = self.editor.producer(tensor), self.editor.types[tensor].dtype
        if producer is not None and isinstance(producer.op, Literal) and dtype in (BOOL, FLOAT32.name):
            self.weights.append(np.asarray(self.editor.weights_of(producer)[0], np.float32))
            return self._operand(True, len(self.weights) - 1)
        if dtype == FLOAT32.name:
            if tensor not in self.inputs:
                self.inputs.append(tensor)
            return self._operand(False, self.inputs.index(tensor))
        if dtype == BOOL and producer is not None and isinstance(producer.op, TypedMap):
            return self.result(producer)
        return None

    def result(self, node: Node) -> Expression | None:
        """What a TypedMap computes, of float32 and truth values; None where it cannot be said by a Map."""
        op = node.op
        assert isinstance(op, TypedMap)
        dtypes = {self.editor.types[tensor].dtype for tensor in node.inputs}
        if op.computed not in (FLOAT32.name, BOOL) or not dtypes <= {FLOAT32.name, BOOL}:
            return None
        if op.computed == BOOL and FLOAT32.name in dtypes:  # what is not 0 would be 1
            return None
        values = [self.value(tensor) for tensor in node.inputs]
        found = [value for value in values if value is not None]
        if len(found) < len(values):
            return None
        expression = _arithmetic(op.expression).substitute(found)
        if op.result == BOOL and op.computed != BOOL and not _is_truth(op.expression):
            expression = 1.0 - apply("equal", expression, 0.0)
        known = all(one.primitive in PRIMITIVES for one in walk(expression) if isinstance(one, Apply))
        return expression if known else None

    def _operand(self, is_weight: bool, number: int) -> Expression:
        key = (is_weight, number)
        if key not in self.order:
            self.order.append(key)
        return Operand(self.order.index(key))

    def numbered(self, expression: Expression) -> Expression:
        """The expression with its inputs before its weights."""
        places = [len(self.inputs) + number if is_weight else number for is_weight, number in self.order]
        return expression.substitute([Operand(place) for place in places])


def _is_truth(expression: Expression) -> bool:
    return isinstance(expression, Apply) and expression.primitive in ("less", "equal", *_OF_TRUTHS)


def _arithmetic(expression: Expression) -> Expression:
    """Logic of truth values as arithmetic."""
    if not isinstance(expression, Apply):
        return expression
    arguments = [_arithmetic(argument) for argument in expression.arguments]
    if expression.primitive in _OF_TRUTHS:
        return _OF_TRUTHS[expression.primitive](*arguments)
    return apply(expression.primitive, *arguments)


def _unite(editor: GraphEditor, node: Node) -> None:
    operands = _Operands(editor)
    found = operands.result(node)
    if found is None or not operands.inputs:
        return
    expression = operands.numbered(found)
    if {one.index for one in expression.operands} != set(range(len(operands.order))):
        return
    name = node.name
    united = Node(name, Map(expression), tuple(operands.inputs), node.outputs)
    roles = [f"operand_{number}" for number in range(len(operands.weights))]
    united, constants = editor.with_weights(united, roles, operands.weights)
    editor.substitute({name: (united,)}, constants=constants)
