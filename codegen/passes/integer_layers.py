"""Quantised tensors stay integers: conversions to floats and back go into the layers beside them, or go away."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from codegen.element_type import FLOAT32
from codegen.expression import RESULT, Expression, Operand
from codegen.graph import Graph, Node
from codegen.operator import Operator
from codegen.operators.concat import Concat
from codegen.operators.elementwise import Map
from codegen.operators.pool2d import Pool2d
from codegen.operators.quantized_conv2d import BYTES, QuantizedConv2d
from codegen.operators.quantized_pool2d import QuantizedPool2d
from codegen.operators.reshape import Reshape
from codegen.operators.transpose import Transpose
from codegen.operators.typed_map import TypedMap
from codegen.passes.rewrite import GraphEditor
from codegen.requantization import (
    Requantization,
    as_dequantization,
    as_requantization,
    is_arithmetic,
    is_within,
    without_factor,
)
from codegen.tensor import TensorType


def keep_integers(graph: Graph) -> Graph:
    """Rounding to 8 bits moves above layers that move elements, and becomes the end of convolutions, averages and
    elementwise layers; elementwise layers of integers become one, and those that change nothing go.
    """
    if graph.lengths or not any(type_.dtype in BYTES for type_ in graph.types.values()):
        return graph
    editor = GraphEditor(graph)
    changed = True
    while changed:
        names = [node.name for node in editor.graph().nodes if isinstance(node.op, TypedMap)]
        changed = any([editor.has(name) and _rewritten(editor, editor.node(name)) for name in names])
    return editor.graph()


def _rewritten(editor: GraphEditor, node: Node) -> bool:
    op = node.op
    if not isinstance(op, TypedMap) or op.computed != FLOAT32.name or not is_arithmetic(op.expression):
        return False
    return any(rule(editor, node, op) for rule in RULES)


def _removed(editor: GraphEditor, node: Node, op: TypedMap) -> bool:
    """A map of 8 bits that gives every integer itself becomes a view."""
    if len(node.inputs) != 1 or editor.types[node.inputs[0]].dtype != op.result or op.result not in BYTES:
        return False
    limits = np.iinfo(op.result)
    every = np.arange(limits.min, limits.max + 1)
    (found,) = op.evaluate([every.astype(np.float64)], (), (TensorType(every.shape, op.result),))
    if not np.array_equal(found, every):
        return False
    editor.substitute({node.name: (replace(node, op=Reshape()),)})
    return True


def _composed(editor: GraphEditor, node: Node, op: TypedMap) -> bool:
    """With a map that gives one of its operands; those of integers of 8 bits are cheap enough to be done again."""
    for place, tensor in enumerate(node.inputs):
        before = editor.producer(tensor)
        if before is None or editor.types[tensor].shape != editor.types[node.output].shape:
            continue
        inner = _map_of(editor, before)
        if inner is None or len(before.inputs) + len(node.inputs) > 3:
            continue
        if op.result == FLOAT32.name and inner.result in BYTES:
            continue  # it may be integers again behind what reads it
        sources = [editor.types[name] for name in before.inputs]
        if any(source.shape != editor.types[tensor].shape for source in sources):
            continue
        is_cheap = all(source.dtype in BYTES for source in sources) and as_dequantization(inner.expression)
        if not editor.is_read_once(tensor) and not is_cheap:
            continue
        inputs = (*node.inputs[:place], *before.inputs, *node.inputs[place + 1 :])
        values = [
            *map(Operand, range(place)),
            _shifted(inner.expression, place),
            *(Operand(i + len(before.inputs) - 1) for i in range(place + 1, len(node.inputs))),
        ]
        renewed = replace(node, op=replace(op, expression=op.expression.substitute(values)), inputs=inputs)
        is_last = editor.is_read_once(tensor) and tensor not in inputs
        gone: dict[str, tuple[Node, ...]] = {before.name: ()} if is_last else {}
        editor.substitute({**gone, node.name: (renewed,)})
        return True
    return False


def _map_of(editor: GraphEditor, node: Node) -> TypedMap | None:
    """What an elementwise layer computes in float32 whose elements are its values; None: it is another layer."""
    op = node.op
    if isinstance(op, Map) and not node.weights and is_arithmetic(op.expression):
        return TypedMap(op.expression, FLOAT32.name, FLOAT32.name) if _reads_integers(editor, node) else None
    if not isinstance(op, TypedMap) or op.computed != FLOAT32.name or not is_arithmetic(op.expression):
        return None
    is_exact = op.result == FLOAT32.name or (op.result in BYTES and is_within(op.expression, op.result))
    return op if is_exact else None


def _reads_integers(editor: GraphEditor, node: Node) -> bool:
    """Whether something that it reads comes from a layer of integers, other elementwise layers between."""
    around = [other for tensor in node.inputs if (other := editor.producer(tensor)) is not None]
    return any(
        isinstance(other.op, TypedMap | QuantizedConv2d)
        or (isinstance(other.op, Map) and _reads_integers(editor, other))
        for other in around
    )


def _shifted(expression: Expression, places: int) -> Expression:
    return expression.substitute([Operand(i + places) for i in range(expression.arity)])


def _lifted(editor: GraphEditor, node: Node, op: TypedMap) -> bool:
    """Rounding above a layer that moves elements or takes the largest, where integers come in."""
    found = _rounding(node, op)
    above = editor.producer(node.inputs[0])
    if found is None or above is None or not editor.is_read_once(node.inputs[0]) or len(above.outputs) != 1:
        return False
    is_largest = isinstance(above.op, Pool2d) and above.op.kind == "max" and above.op.epilogue == RESULT
    if not (is_largest and _is_rising(found.value)) and not isinstance(
        above.op, Concat | Reshape | Transpose
    ):
        return False
    if not all(_is_of_integers(editor, tensor) for tensor in above.inputs):
        return False
    names = {tensor: editor.fresh_tensor(f"{tensor}/{op.result}") for tensor in above.inputs}
    types = {new: TensorType(editor.types[tensor].shape, op.result) for tensor, new in names.items()}
    maps = [
        Node(editor.fresh_node(f"{node.name}/{tensor}"), op, (tensor,), (new,))
        for tensor, new in names.items()
    ]
    moved = replace(above, inputs=tuple(names[tensor] for tensor in above.inputs), outputs=node.outputs)
    editor.substitute({above.name: (*maps, moved), node.name: ()}, types=types)
    return True


def _rounding(node: Node, op: TypedMap) -> Requantization | None:
    if len(node.inputs) != 1 or op.result not in BYTES or not is_within(op.expression, op.result):
        return None
    return as_requantization(op.expression)


def _is_rising(value: Expression) -> bool:
    """Whether it is its operand times a number above 0, alone."""
    rest, factor = without_factor(value)
    return rest == RESULT and factor > 0.0


def _is_of_integers(editor: GraphEditor, tensor: str) -> bool:
    before = editor.producer(tensor)
    if before is None:
        return False
    if isinstance(before.op, TypedMap):
        return all(editor.types[source].dtype in BYTES for source in before.inputs)
    if isinstance(before.op, Concat | Reshape | Transpose | Pool2d):
        return all(_is_of_integers(editor, source) for source in before.inputs)
    return isinstance(before.op, QuantizedConv2d | QuantizedPool2d)


def _ending(editor: GraphEditor, node: Node, op: TypedMap) -> bool:
    """As the end of a convolution that gives one of its operands and is read by nothing else."""
    result = editor.types[node.output]
    for place in range(len(node.inputs) - 1, -1, -1):
        tensor = node.inputs[place]
        conv = editor.producer(tensor)
        if conv is None or not isinstance(conv.op, QuantizedConv2d) or not editor.is_read_once(tensor):
            continue
        others = [other for other in node.inputs if other != tensor]
        if len(others) + len(conv.inputs) > 2 or len(set(node.inputs)) != len(node.inputs):
            continue
        if conv.op.dtype == "int32" or any(editor.types[other].shape != result.shape for other in others):
            continue
        if any(editor.types[other].dtype not in (FLOAT32.name, *BYTES) for other in others):
            continue
        if editor.types[tensor].shape != result.shape or not _ends(op):
            continue
        if op.result == FLOAT32.name and conv.op.dtype in BYTES:
            continue  # it may be integers again behind what reads it
        values = [conv.op.epilogue if name == tensor else Operand(1) for name in node.inputs]
        epilogue = op.expression.substitute(values)
        _end(editor, conv, node, _with_epilogue(editor, conv, epilogue, op.result), others)
        return True
    return False


def _ends(op: TypedMap) -> bool:
    return op.result == FLOAT32.name or (op.result in BYTES and is_within(op.expression, op.result))


def _with_epilogue(
    editor: GraphEditor, conv: Node, epilogue: Expression, dtype: str
) -> tuple[Operator, np.ndarray]:
    """The operator and its factors; a number that the result is multiplied by first becomes a part of these."""
    assert isinstance(conv.op, QuantizedConv2d)
    factor = editor.weights_of(conv)[2]
    found = as_requantization(epilogue)
    if found is not None and found.value.arity == 1:
        rest, number = without_factor(found.value)
        folded = as_requantization(replace(found, value=rest).expression)
        if folded is not None and number != 1.0:
            scaled = (factor.astype(np.float64) * number).astype(np.float32)
            return replace(conv.op, epilogue=folded.expression, dtype=dtype), scaled
    return replace(conv.op, epilogue=epilogue, dtype=dtype), factor


def _end(
    editor: GraphEditor,
    conv: Node,
    node: Node,
    ended: tuple[Operator, np.ndarray],
    others: Sequence[str],
) -> None:
    """At the place of the map, behind all that either reads."""
    op, factor = ended
    name = f"{conv.name}.factor"
    while name in editor.constants and not np.array_equal(editor.constants[name], factor):
        name += "_"
    renewed = replace(
        conv,
        op=op,
        inputs=(*conv.inputs, *others),
        outputs=node.outputs,
        weights=(*conv.weights[:2], name),
    )
    editor.substitute({conv.name: (), node.name: (renewed,)}, constants={name: factor})


def _averaged(editor: GraphEditor, node: Node, op: TypedMap) -> bool:
    """Behind an average of integers: as the end of their sums."""
    pool = editor.producer(node.inputs[0]) if len(node.inputs) == 1 else None
    if pool is None or not isinstance(pool.op, Pool2d) or pool.op.kind != "average" or not _ends(op):
        return False
    before = editor.producer(pool.inputs[0])
    plain = pool.op.epilogue == RESULT and not any(pool.op.pads) and pool.op.dilations == (1, 1)
    if before is None or not plain or not editor.is_read_once(node.inputs[0]):
        return False
    inner = before.op
    if not isinstance(inner, TypedMap) or editor.types[before.inputs[0]].dtype not in BYTES:
        return False
    real = as_dequantization(inner.expression)
    if real is None:
        return False
    share = real.scale / (pool.op.kernel[0] * pool.op.kernel[1])
    epilogue = op.expression.substitute([RESULT * share])
    summed = QuantizedPool2d(pool.op.kernel, pool.op.strides, real.zero, epilogue, op.result)
    renewed = replace(pool, op=summed, inputs=before.inputs, outputs=node.outputs)
    editor.substitute({pool.name: (renewed,), node.name: ()})
    return True


Rule = Callable[[GraphEditor, Node, TypedMap], bool]
RULES: tuple[Rule, ...] = (_removed, _lifted, _averaged, _composed, _ending)
