"""Zeros around planes, which a pass moves into the operator that reads them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Self

import numpy as np

from codegen.element_type import FLOAT32
from codegen.errors import GraphSpecError
from codegen.interval import Interval, hull
from codegen.onnx_import.arithmetic import Arithmetic
from codegen.onnx_import.quantities import Quantity
from codegen.onnx_import.registry import handles
from codegen.onnx_import.sizes import bounds_of, declare, filled, known_numbers, sizes_of
from codegen.onnx_import.steps import Steps
from codegen.operator import IMPORTED_ONLY, Arrays, Operator, Types, sole_input
from codegen.operators.rearrange import emit_selection
from codegen.operators.reshape import Reshape
from codegen.operators.transpose import FROM_PLANES, TO_PLANES, Transpose
from codegen.places import NOWHERE, Places
from codegen.tensor import Doubles, Shape, TensorType
from codegen.windows import Pads, padded, require_planes, summed

if TYPE_CHECKING:
    from codegen.onnx_import.builder import GraphBuilder
    from codegen.onnx_import.node import OnnxNode

Ends = list[tuple[int, int]]  # for each axis the elements before and after


@dataclass(frozen=True)
class Pad2d(Operator):
    """Zeros around the plane; pads are top, left, bottom, right. Imported stage only.

    Fields:
        pads: elements beside the plane: top, left, bottom, right
    """

    stages = IMPORTED_ONLY

    pads: Pads

    def infer(self, inputs: Types, weights: Types, declared: Types) -> tuple[TensorType, ...]:
        source = sole_input(self, inputs, weights, 0)
        require_planes(self, source.shape)
        if min(self.pads) < 0:
            raise GraphSpecError(f"Pad2d has a negative pad: {self}")
        top, left, bottom, right = self.pads
        batch, channels, height, width = source.shape
        return (replace(source, shape=(batch, channels, top + height + bottom, left + width + right)),)

    def evaluate(self, inputs: Arrays, weights: Arrays, outputs: Types) -> tuple[Doubles, ...]:
        return (padded(inputs[0], self.pads, 0.0),)

    def padded_by(self, pads: Pads, input_range: Interval) -> Self:
        return replace(self, pads=summed(self.pads, pads))

    def range(self, inputs: Sequence[Interval]) -> Interval:
        return hull(inputs[0], Interval(0.0, 0.0))


def _emit_beyond_numbers(
    node: OnnxNode, builder: GraphBuilder, tensor: str, indices: Sequence[Places], value: float
) -> None:
    """A value that is no finite number is a constant chosen by a mask: it cannot be an operator's parameter."""
    steps = Steps(node, builder)
    moved = emit_selection(node, builder, tensor, indices, step="moved")
    outside = np.zeros((1,) * len(indices), dtype=bool)
    for axis, index in enumerate(indices):
        sizes = [len(index) if other == axis else 1 for other in range(len(indices))]
        outside = outside | (index == NOWHERE).reshape(sizes)
    fill = steps.constant(value, steps.type(moved).dtype)
    steps("Where", steps.constant(outside), fill, moved, to=node.output)


@handles(
    "Pad", "every mode; pads by attribute or constant input, or behind an axis of sizes that depend on data"
)
def pad(node: OnnxNode, builder: GraphBuilder) -> None:
    """Pad to Pad2d where it puts zeros around the planes of (N, C, H, W) or (N, H, W, C), between Transposes where axis
    1 is padded, whatever it means; others as a Rearrange. Without any pads, a Reshape.
    """
    type_ = builder.type(node)
    shape = type_.shape
    if _emit_to_length(node, builder):
        return
    ends, mode = _ends(node, builder, shape), node.text("mode", "constant")
    builder.require_size(node, [max(0, size + sum(pair)) for size, pair in zip(shape, ends, strict=True)])
    padded = {axis for axis, pair in enumerate(ends) if any(pair)}
    tensor, value = builder.tensor(node), _fill(node, builder) if mode == "constant" else 0.0
    if not padded:
        builder.emit(node, Reshape(), tensor, shape=shape)
        return
    is_plane = len(shape) == 4 and (padded <= {2, 3} or padded <= {1, 2}) and type_.dtype == FLOAT32.name
    if not is_plane or mode != "constant" or value != 0.0 or min(map(min, ends)) < 0:
        indices = [_indices(node, size, pair, mode) for size, pair in zip(shape, ends, strict=True)]
        if math.isfinite(value):
            emit_selection(node, builder, tensor, indices, fill=value)
        else:
            _emit_beyond_numbers(node, builder, tensor, indices, value)
        return
    if padded <= {2, 3}:
        builder.emit(node, Pad2d(_pads(ends[2:])), tensor)
        return
    planes = builder.emit(node, Transpose(TO_PLANES), tensor, step="planes")
    result = builder.emit(node, Pad2d(_pads(ends[1:3])), planes, step="padded")
    builder.emit(node, Transpose(FROM_PLANES), result)


def _emit_to_length(node: OnnxNode, builder: GraphBuilder) -> bool:
    """Behind the end of an axis whose size depends on data, or by a number that does: filled to its bound."""
    if node.opset < 11 or node.text("mode", "constant") != "constant":
        return False
    known = known_numbers(builder, node.input(1))
    length, sizes = builder.length(node.input(0)), sizes_of(builder, node.input(0))
    if known is None or (length is None and builder.is_constant(node.input(1))):
        return False
    axes = builder.integers(node, 3) if node.has_input(3) else tuple(range(len(sizes)))
    axes = tuple(node.axis(axis, len(sizes)) for axis in axes)
    pads = list(known.reshape(-1))
    if len(pads) != 2 * len(axes):
        raise node.malformed(
            f"{len(pads)} pads of axes {list(axes)} do not fit a tensor of {len(sizes)} dimensions"
        )
    if any(isinstance(one, Quantity) for one in pads[: len(axes)]):
        raise node.unsupported("what it puts before an axis depends on data", "put that behind the axis")
    arithmetic, steps, fill = Arithmetic(node, builder), Steps(node, builder), _fill(node, builder)
    wanted, before = list(sizes), [0] * len(sizes)
    for index, axis in enumerate(axes):
        before[axis] = pads[index]
        wanted[axis] = arithmetic.add(arithmetic.add(sizes[axis], pads[index]), pads[len(axes) + index])
    shape, bound = bounds_of(node, wanted), builder.type(node).shape
    tensor = filled(node, builder, node.input(0), fill)
    after = [new - old - first for new, old, first in zip(shape, bound, before, strict=True)]
    value = steps.constant(fill, builder.type(node).dtype)
    steps("Pad", tensor, steps.integers(*before, *after), value, to=node.output)
    declare(builder, node.output, wanted)
    return True


def _indices(node: OnnxNode, size: int, pair: tuple[int, int], mode: str) -> Places:
    """The index along an axis of each element of the padded one; -1 where it is none of the tensor's."""
    before, after = pair
    index = np.arange(-before, size + after)
    if mode == "constant":
        return np.where((index < 0) | (index >= size), NOWHERE, index)
    if mode == "edge":
        return np.clip(index, 0, size - 1)
    if mode == "wrap":
        return index % size
    if mode != "reflect":
        raise node.malformed(f"attribute mode is {mode!r}; it may be constant, edge, reflect, wrap")
    period = max(1, 2 * (size - 1))
    folded = index % period
    return np.where(folded >= size, period - folded, folded)


def _pads(ends: Ends) -> tuple[int, int, int, int]:
    (top, bottom), (left, right) = ends
    return top, left, bottom, right


def _ends(node: OnnxNode, builder: GraphBuilder, shape: Shape) -> Ends:
    """Before operator set 11 attributes, then inputs; since 18 for the axes given only."""
    values = node.integers("pads") or () if node.opset < 11 else builder.integers(node, 1)
    axes = builder.integers(node, 3) if node.has_input(3) else tuple(range(len(shape)))
    axes = tuple(axis + len(shape) if axis < 0 else axis for axis in axes)
    if len(set(axes)) != len(axes) or not set(axes) <= set(range(len(shape))) or len(values) != 2 * len(axes):
        raise node.malformed(f"pads {list(values)} of axes {list(axes)} do not fit a tensor of shape {shape}")
    ends = [(0, 0)] * len(shape)
    for index, axis in enumerate(axes):
        ends[axis] = (values[index], values[len(axes) + index])
    return ends


def _fill(node: OnnxNode, builder: GraphBuilder) -> float:
    if node.opset < 11 or not node.has_input(2):
        return node.real("value", 0.0)
    constant = builder.constant(node, 2)
    if constant.size != 1:
        raise node.malformed(f"input 2 of shape {constant.shape} is no single number")
    return float(constant.reshape(-1)[0])
