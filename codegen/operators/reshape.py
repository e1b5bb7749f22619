"""Operators that move no element: Reshape, Flatten, Squeeze, Unsqueeze, Identity, Dropout."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from codegen.errors import GraphSpecError
from codegen.interval import Interval
from codegen.onnx_import.registry import handles
from codegen.operator import Arrays, Operator, Types, sole_input
from codegen.places import Piece, in_order
from codegen.tensor import Doubles, Shape, TensorType

if TYPE_CHECKING:
    from codegen.onnx_import.builder import GraphBuilder
    from codegen.onnx_import.node import OnnxNode


@dataclass(frozen=True)
class Reshape(Operator):
    """The same elements in row-major (NCHW) order under another shape: the node's output type."""

    moves_elements = True

    def infer(self, inputs: Types, weights: Types, declared: Types) -> tuple[TensorType, ...]:
        source = sole_input(self, inputs, weights, 0)
        if len(declared) != 1 or source.elements != declared[0].elements:
            raise GraphSpecError(
                f"Reshape from {source.shape} to {[tensor.shape for tensor in declared]} changes the number of elements"
            )
        return (TensorType(declared[0].shape, source.dtype),)

    def evaluate(self, inputs: Arrays, weights: Arrays, outputs: Types) -> tuple[Doubles, ...]:
        return (inputs[0].reshape(outputs[0].shape),)

    def carried(self, axis: int, source: int, inputs: Types, outputs: Types) -> tuple[int | None, ...]:
        shape, result = inputs[0].shape, outputs[0].shape
        before = math.prod(shape[:axis])
        like = [
            place
            for place, size in enumerate(result)
            if size == shape[axis] and math.prod(result[:place]) == before
        ]
        return (like[0] if len(like) == 1 else None,)

    def pieces(self, inputs: Types, outputs: Types) -> Sequence[Piece]:
        return (Piece(0, 0, in_order(inputs[0]).reshape(outputs[0].shape)),)

    def range(self, inputs: Sequence[Interval]) -> Interval:
        return inputs[0]


@handles("Reshape", "constant shape, with 0, -1 and allowzero")
def reshape(node: OnnxNode, builder: GraphBuilder) -> None:
    """Reshape with its shape made explicit."""
    source = builder.type(node).shape
    wanted = list(builder.integers(node, 1))
    if not node.flag("allowzero"):
        for axis, size in enumerate(wanted):
            if size == 0:
                if axis >= len(source):
                    raise node.malformed(
                        f"shape {wanted} copies dimension {axis} of a tensor of shape {source}"
                    )
                wanted[axis] = source[axis]
    _emit(node, builder, _infer_open_dimension(node, source, wanted))


@handles("Flatten", "all")
def flatten(node: OnnxNode, builder: GraphBuilder) -> None:
    """Flatten to a matrix, split at an axis."""
    shape = builder.type(node).shape
    axis = node.integer("axis", 1)
    if not -len(shape) <= axis <= len(shape):
        raise node.malformed(f"axis {axis} is outside a tensor of shape {shape}")
    axis += len(shape) if axis < 0 else 0
    _emit(node, builder, (math.prod(shape[:axis]), math.prod(shape[axis:])))


@handles("Squeeze", "axes by attribute or constant input, or none")
def squeeze(node: OnnxNode, builder: GraphBuilder) -> None:
    """Squeeze drops dimensions of size 1."""
    shape = builder.type(node).shape
    given = _axes(node, builder)
    every = tuple(axis for axis, size in enumerate(shape) if size == 1)
    axes = every if given is None else _normalised(node, given, len(shape))
    if any(shape[axis] != 1 for axis in axes):
        raise node.malformed(f"axes {axes} of a tensor of shape {shape} are not all of size 1")
    _emit(node, builder, tuple(size for axis, size in enumerate(shape) if axis not in axes))


@handles("Unsqueeze", "axes by attribute or constant input")
def unsqueeze(node: OnnxNode, builder: GraphBuilder) -> None:
    """Unsqueeze inserts dimensions of size 1."""
    shape = builder.type(node).shape
    given = _axes(node, builder)
    if given is None:
        raise node.malformed("it has no axes")
    rank = len(shape) + len(given)
    axes, sizes = _normalised(node, given, rank), iter(shape)
    _emit(node, builder, tuple(1 if axis in axes else next(sizes) for axis in range(rank)))


@handles("Identity", "all")
def identity(node: OnnxNode, builder: GraphBuilder) -> None:
    """Identity to a Reshape to the same shape, which a pass removes; of a sequence another name."""
    if node.input(0) in builder.sequences:
        builder.sequences.define(node.output, builder.sequences.read(node, 0))
        return
    _emit(node, builder, builder.type(node).shape)


@handles("Dropout", "inference form")
def dropout(node: OnnxNode, builder: GraphBuilder) -> None:
    """Dropout does nothing in inference, and keeps everything."""
    drops = not node.has_input(1) or bool(builder.constant(node, 1).any())
    if drops and node.has_input(2) and bool(builder.constant(node, 2).any()):
        raise node.unsupported("it is in training mode", "export the model for inference")
    _emit(node, builder, builder.type(node).shape)
    if len(node.outputs) > 1 and node.outputs[1]:
        builder.require_fixed(node)
        mask = np.ones(builder.type(node).shape, dtype=bool if node.opset >= 10 else builder.type(node).dtype)
        builder.define_constant(node, node.outputs[1], mask)


def _emit(node: OnnxNode, builder: GraphBuilder, shape: Shape) -> None:
    builder.emit(node, Reshape(), builder.tensor(node), shape=shape)


def _infer_open_dimension(node: OnnxNode, source: Shape, wanted: list[int]) -> Shape:
    elements, known = math.prod(source), math.prod(size for size in wanted if size != -1)
    if wanted.count(-1) == 1 and known > 0 and elements % known == 0:
        wanted = [elements // known if size == -1 else size for size in wanted]
    if any(size < 1 for size in wanted) or math.prod(wanted) != elements:
        raise node.malformed(f"a tensor of shape {source} cannot take the shape {wanted}")
    return tuple(wanted)


def _axes(node: OnnxNode, builder: GraphBuilder) -> tuple[int, ...] | None:
    """Since operator set 13 an input, before it an attribute."""
    if node.opset < 13:
        return node.integers("axes")
    return builder.integers(node, 1) if node.has_input(1) else None


def _normalised(node: OnnxNode, axes: tuple[int, ...], rank: int) -> frozenset[int]:
    normalised = frozenset(axis + rank if axis < 0 else axis for axis in axes)
    if len(normalised) != len(axes) or not all(0 <= axis < rank for axis in normalised):
        raise node.malformed(f"axes {list(axes)} do not fit a tensor of {rank} dimensions")
    return normalised
