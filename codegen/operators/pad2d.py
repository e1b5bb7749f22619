"""Zeros around planes, which a pass moves into the operator that reads them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Self

from codegen.errors import GraphSpecError
from codegen.interval import Interval, hull
from codegen.onnx_import.registry import handles
from codegen.operator import IMPORTED_ONLY, Arrays, Operator, Types, sole_input
from codegen.operators.reshape import Reshape
from codegen.operators.transpose import FROM_PLANES, TO_PLANES, Transpose
from codegen.tensor import Doubles, Shape, TensorType
from codegen.windows import Pads, padded, require_planes, summed

if TYPE_CHECKING:
    from codegen.onnx_import.builder import GraphBuilder
    from codegen.onnx_import.node import OnnxNode

Ends = list[tuple[int, int]]  # for each axis the elements before and after

REMEDY = "only zeros around the height and width of (N, C, H, W) or (N, H, W, C) are supported"


@dataclass(frozen=True)
class Pad2d(Operator):
    """Zeros around the plane; pads are top, left, bottom, right. Imported stage only."""

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


@handles(
    "Pad", "zeros around height and width, in planes or channels last; pads by attribute or constant input"
)
def pad(node: OnnxNode, builder: GraphBuilder) -> None:
    """Pad to Pad2d, between Transposes where axis 1 is padded, whatever it means. Without any pads, a Reshape."""
    tensor, shape = builder.activation(node), builder.shape(node)
    ends = _ends(node, builder, shape)
    padded = {axis for axis, pair in enumerate(ends) if any(pair)}
    if not padded:
        builder.emit(node, Reshape(), tensor, shape=shape)
        return
    if len(shape) != 4 or not (padded <= {2, 3} or padded <= {1, 2}) or min(map(min, ends)) < 0:
        raise node.unsupported(f"it pads a tensor of shape {shape} by {ends}", REMEDY)
    _require_zeros(node, builder)
    if padded <= {2, 3}:
        builder.emit(node, Pad2d(_pads(ends[2:])), tensor)
        return
    planes = builder.emit(node, Transpose(TO_PLANES), tensor, step="planes")
    result = builder.emit(node, Pad2d(_pads(ends[1:3])), planes, step="padded")
    builder.emit(node, Transpose(FROM_PLANES), result)


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


def _require_zeros(node: OnnxNode, builder: GraphBuilder) -> None:
    mode = node.text("mode", "constant")
    if mode != "constant":
        raise node.unsupported(f"its mode is {mode!r}", REMEDY)
    value = node.real("value", 0.0)
    if node.opset >= 11 and node.has_input(2):
        constant = builder.weight(node, 2)
        if constant.size != 1:
            raise node.malformed(f"input 2 of shape {constant.shape} is no single number")
        value = float(constant.reshape(-1)[0])
    if value != 0.0:
        raise node.unsupported(f"it pads with {value:g}", REMEDY)
