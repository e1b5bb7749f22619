"""A tensor cut into parts along one axis."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from codegen.errors import GraphSpecError
from codegen.interval import Interval
from codegen.onnx_import.registry import handles
from codegen.operator import Arrays, Operator, Types, sole_input
from codegen.places import Piece, in_order
from codegen.tensor import Doubles, TensorType

if TYPE_CHECKING:
    from codegen.onnx_import.builder import GraphBuilder
    from codegen.onnx_import.node import OnnxNode


@dataclass(frozen=True)
class Split(Operator):
    """Output i holds the next `sizes[i]` elements along `axis` (non-negative).

    Fields:
        axis: the axis, counted from 0
        sizes: elements along it of each output
    """

    moves_elements = True

    axis: int
    sizes: tuple[int, ...]

    def infer(self, inputs: Types, weights: Types, declared: Types) -> tuple[TensorType, ...]:
        source = sole_input(self, inputs, weights, 0)
        shape, axis = source.shape, self.axis
        if (
            not 0 <= axis < len(shape)
            or not self.sizes
            or min(self.sizes) < 1
            or sum(self.sizes) != shape[axis]
        ):
            raise GraphSpecError(f"Split into {self.sizes} along axis {axis} of a tensor of shape {shape}")
        return tuple(replace(source, shape=(*shape[:axis], size, *shape[axis + 1 :])) for size in self.sizes)

    def evaluate(self, inputs: Arrays, weights: Arrays, outputs: Types) -> tuple[Doubles, ...]:
        ends = np.cumsum(self.sizes)[:-1]
        return tuple(np.ascontiguousarray(part) for part in np.split(inputs[0], ends, axis=self.axis))

    def carried(self, axis: int, source: int, inputs: Types, outputs: Types) -> tuple[int | None, ...]:
        return (None if axis == self.axis else axis,) * len(outputs)

    def describe(self) -> str:
        return f"Split axis {self.axis} into {','.join(map(str, self.sizes))}"

    def pieces(self, inputs: Types, outputs: Types) -> Sequence[Piece]:
        parts = np.split(in_order(inputs[0]), np.cumsum(self.sizes)[:-1], axis=self.axis)
        return [Piece(0, index, part) for index, part in enumerate(parts)]

    def range(self, inputs: Sequence[Interval]) -> Interval:
        return inputs[0]


@handles("Split", "along any axis; sizes by attribute, constant input or number of outputs")
def split(node: OnnxNode, builder: GraphBuilder) -> None:
    """Split with its sizes made explicit: since operator set 13 an input, before it an attribute; else even parts, of
    which since 18 the last may be smaller.
    """
    shape, count = builder.type(node).shape, len(node.outputs)
    axis = node.axis(node.integer("axis", 0), len(shape))
    given = builder.integers(node, 1) if node.has_input(1) else node.integers("split")
    parts = node.integer("num_outputs", count)
    if parts != count:
        raise node.malformed(f"it has {count} outputs, of {parts} parts")
    if given is None:
        most = -(-shape[axis] // count)
        if shape[axis] % count and node.opset < 18:
            raise node.malformed(f"axis {axis} of a tensor of shape {shape} has no {count} equal parts")
        given = (*(most,) * (count - 1), shape[axis] - most * (count - 1))
    if len(given) != count:
        raise node.malformed(f"it has {count} outputs and sizes {list(given)}")
    if min(given) < 0 or sum(given) != shape[axis]:
        raise node.malformed(f"axis {axis} of a tensor of shape {shape} has no parts {list(given)}")
    _emit(node, builder, axis, given)


def _emit(node: OnnxNode, builder: GraphBuilder, axis: int, sizes: Sequence[int]) -> None:
    """The parts that have elements; those of size 0 are constants, which what reads them may drop."""
    type_ = builder.type(node)
    outputs = [name or f"{node.name}/unused_{index}" for index, name in enumerate(node.outputs)]
    for name, size in zip(outputs, sizes, strict=True):
        if not size or not type_.elements:
            shape = (*type_.shape[:axis], size, *type_.shape[axis + 1 :])
            builder.define_constant(node, name, np.zeros(shape, type_.dtype))
    full = [(name, size) for name, size in zip(outputs, sizes, strict=True) if size and type_.elements]
    if full:
        op = Split(axis, tuple(size for _, size in full))
        builder.emit(node, op, builder.tensor(node), outputs=[name for name, _ in full])
