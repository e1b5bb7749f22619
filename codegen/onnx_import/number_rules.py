"""Arithmetic of sizes that exporters write in nodes, followed number by number where a length is among them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from typing import TYPE_CHECKING

import numpy as np

from codegen.onnx_import.arithmetic import Arithmetic
from codegen.onnx_import.node import OnnxNode
from codegen.onnx_import.quantities import Number, Numbers, Quantity, as_numbers, least, most
from codegen.onnx_import.sizes import known_numbers, unknown_number

if TYPE_CHECKING:
    from codegen.onnx_import.builder import GraphBuilder

MOST_FOLLOWED = 16  # elements of a tensor of sizes
Rule = Callable[[OnnxNode, "GraphBuilder", Sequence[Numbers]], Numbers | None]
Combine = Callable[[Arithmetic, Number, Number], Number]


def follow(node: OnnxNode, builder: GraphBuilder) -> bool:
    """Whether all that the node gives is known before the run, by which it becomes a constant. What is known but for
    quantities is remembered of the tensor that its handler will give.
    """
    names = [name for name in node.inputs if name]
    if node.domain or node.op_type not in RULES or len(node.outputs) != 1:
        return False
    if all(builder.is_constant(name) for name in names) or not names:
        return False
    read = [known_numbers(builder, name) for name in names]
    if node.op_type in BOUNDING and any(numbers is not None for numbers in read):
        read = [
            _unknown(node, builder, n) if found is None else found
            for n, found in zip(names, read, strict=True)
        ]
    known = [numbers for numbers in read if numbers is not None]
    if len(known) < len(read) or any(numbers.size > MOST_FOLLOWED for numbers in known):
        return False
    numbers = RULES[node.op_type](node, builder, known)
    if numbers is None:
        return False
    if any(map(_is_open, numbers.reshape(-1))):
        builder.quantities.set_numbers(node.output, numbers)
        return False
    dtype = "bool" if node.op_type in TRUTHS else builder.type_by_name(names[node.op_type == "Where"]).dtype
    if node.op_type == "Cast":
        dtype = node.element_type("to")
    builder.define_constant(node, node.output, numbers.astype(dtype))
    return True


def _unknown(node: OnnxNode, builder: GraphBuilder, name: str) -> Numbers | None:
    """A number of which nothing is known, where a node of the model reads it: steps read quantities that are known."""
    number = None if builder.quantities.has(name) else unknown_number(node, builder, name)
    return None if number is None else as_numbers(number).reshape(builder.type_by_name(name).shape)


def _moved(node: OnnxNode, builder: GraphBuilder, read: Sequence[Numbers]) -> Numbers | None:
    """Of few axes: lists of sizes, and of pairs of them."""
    numbers = read[0]
    if node.op_type == "Unsqueeze":
        return numbers.reshape(1) if numbers.ndim == 0 else None
    if node.op_type == "Squeeze":
        return numbers.reshape(()) if numbers.size == 1 else None
    if node.op_type == "Reshape":
        wanted = list(read[1].reshape(-1)) if len(read) > 1 else [0, 0]
        if any(_is_open(size) for size in wanted) or 0 in wanted or wanted.count(-1) > 1:
            return None
        try:
            return numbers.reshape(wanted)
        except ValueError:
            return None
    if node.op_type == "Transpose":
        perm = node.integers("perm") or tuple(range(numbers.ndim))[::-1]
        return numbers.transpose(perm) if sorted(perm) == list(range(numbers.ndim)) else None
    return numbers


def _cast(node: OnnxNode, builder: GraphBuilder, read: Sequence[Numbers]) -> Numbers | None:
    """To integers that hold every size; to truth values of what is known."""
    kind, is_known = node.element_type("to"), not any(map(_is_open, read[0].reshape(-1)))
    return read[0] if kind in ("int32", "int64") or (kind == "bool" and is_known) else None


def _is_open(number: Number) -> bool:
    return isinstance(number, Quantity)


def _gathered(node: OnnxNode, builder: GraphBuilder, read: Sequence[Numbers]) -> Numbers | None:
    if read[0].ndim != 1 or not builder.is_constant(node.input(1)) or node.integer("axis", 0) not in (0, -1):
        return None
    places = read[1].astype(np.int64)
    if places.size and not (-read[0].size <= places.min() and places.max() < read[0].size):
        return None
    return as_numbers(read[0].take(places))


def _sliced(node: OnnxNode, builder: GraphBuilder, read: Sequence[Numbers]) -> Numbers | None:
    are_known = all(builder.is_constant(name) for name in node.inputs[1:] if name)
    if node.opset < 10 or not read[0].ndim or not are_known or any(bound.size != 1 for bound in read[1:]):
        return None
    bounds = [int(bound.item()) for bound in read[1:]]
    step = bounds.pop() if node.has_input(4) else 1
    axis = bounds[2] if node.has_input(3) else 0
    if step == 0 or not -read[0].ndim <= axis < read[0].ndim:
        return None
    return np.moveaxis(np.moveaxis(read[0], axis, 0)[bounds[0] : bounds[1] : step], 0, axis)


def _joined(node: OnnxNode, builder: GraphBuilder, read: Sequence[Numbers]) -> Numbers | None:
    return np.concatenate(read) if all(numbers.ndim == 1 for numbers in read) else None


def _elementwise(combine: Combine) -> Rule:
    def rule(node: OnnxNode, builder: GraphBuilder, read: Sequence[Numbers]) -> Numbers | None:
        arithmetic = Arithmetic(node, builder)
        try:
            together = np.broadcast_arrays(*read)
        except ValueError:
            return None
        rows = zip(*(numbers.reshape(-1) for numbers in together), strict=True)
        combined = [reduce(lambda a, b: combine(arithmetic, a, b), row) for row in rows]
        return as_numbers(combined).reshape(together[0].shape)

    return rule


def _clipped(node: OnnxNode, builder: GraphBuilder, read: Sequence[Numbers]) -> Numbers | None:
    """Not below the one end, then not above the other, of which either may be missing."""
    numbers, *ends = read
    for index, combine in ((1, Arithmetic.larger), (2, Arithmetic.smaller)):
        if node.has_input(index):
            found = _elementwise(combine)(node, builder, [numbers, ends.pop(0)])
            if found is None:
                return None
            numbers = found
    return numbers


def _divided(node: OnnxNode, builder: GraphBuilder, read: Sequence[Numbers]) -> Numbers | None:
    known = read[1].reshape(-1)
    if read[1].size != 1 or _is_open(known[0]) or known[0] < 1:
        return None
    if any(least(number) < 0 for number in read[0].reshape(-1)):
        return None
    arithmetic = Arithmetic(node, builder)
    divided = [arithmetic.divide(number, known[0]) for number in read[0].reshape(-1)]
    return as_numbers(divided).reshape(np.broadcast_shapes(read[0].shape, read[1].shape))


def _reduced(combine: Combine) -> Rule:
    def rule(node: OnnxNode, builder: GraphBuilder, read: Sequence[Numbers]) -> Numbers | None:
        if read[0].ndim != 1 or not read[0].size or node.flag("noop_with_empty_axes"):
            return None
        arithmetic = Arithmetic(node, builder)
        total = reduce(lambda a, b: combine(arithmetic, a, b), read[0])
        return as_numbers(total).reshape((1,) if node.integer("keepdims", 1) else ())

    return rule


def _is_less(a: Number, b: Number) -> bool | None:
    if most(a) < least(b):
        return True
    return False if least(a) >= most(b) else None


def _is_equal(a: Number, b: Number) -> bool | None:
    if a == b:
        return True
    return False if most(a) < least(b) or most(b) < least(a) else None


def _judged(judge: Callable[[Number, Number], bool | None]) -> Rule:
    def rule(node: OnnxNode, builder: GraphBuilder, read: Sequence[Numbers]) -> Numbers | None:
        try:
            together = np.broadcast_arrays(*read)
        except ValueError:
            return None
        found = [judge(a, b) for a, b in zip(*(numbers.reshape(-1) for numbers in together), strict=True)]
        return None if None in found else as_numbers(found).reshape(together[0].shape)

    return rule


def _selected(node: OnnxNode, builder: GraphBuilder, read: Sequence[Numbers]) -> Numbers | None:
    try:
        condition, one, other = np.broadcast_arrays(*read)
    except ValueError:
        return None
    return as_numbers(np.where(condition.astype(bool), one, other))


TRUTHS: Mapping[str, Rule] = {
    "Equal": _judged(_is_equal),
    "Greater": _judged(lambda a, b: _is_less(b, a)),
    "Less": _judged(_is_less),
}
BOUNDING = ("Clip", "Max", "Min")
"""What makes of a number of which nothing is known one that has a bound."""
RULES: Mapping[str, Rule] = {
    **TRUTHS,
    "Add": _elementwise(Arithmetic.add),
    "Cast": _cast,
    "Clip": _clipped,
    "Concat": _joined,
    "Div": _divided,
    "Gather": _gathered,
    "Identity": _moved,
    "Max": _elementwise(Arithmetic.larger),
    "Min": _elementwise(Arithmetic.smaller),
    "Mul": _elementwise(Arithmetic.multiply),
    "ReduceMax": _reduced(Arithmetic.larger),
    "ReduceMin": _reduced(Arithmetic.smaller),
    "ReduceProd": _reduced(Arithmetic.multiply),
    "ReduceSum": _reduced(Arithmetic.add),
    "Reshape": _moved,
    "Slice": _sliced,
    "Squeeze": _moved,
    "Transpose": _moved,
    "Sub": _elementwise(Arithmetic.subtract),
    "Unsqueeze": _moved,
    "Where": _selected,
}
