"""Operators that move no element: Reshape, Flatten, Squeeze, Unsqueeze, Identity, Dropout."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from codegen.errors import GraphSpecError, UnsupportedOperatorError
from codegen.interval import Interval
from codegen.onnx_import.arithmetic import Arithmetic
from codegen.onnx_import.quantities import Number, Quantity, most
from codegen.onnx_import.registry import handles
from codegen.onnx_import.sizes import bounds_of, declare, numbers_of, sizes_of
from codegen.onnx_import.steps import Steps
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
        if shape == result:
            return (axis,)
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


@handles("Reshape", "constant shape, with 0, -1 and allowzero, or one of sizes that depend on data")
def reshape(node: OnnxNode, builder: GraphBuilder) -> None:
    """Reshape with its shape made explicit."""
    tensor = builder.tensor(node)
    source, wanted = sizes_of(builder, tensor), numbers_of(node, builder, 1)
    if not node.flag("allowzero"):
        for axis, size in enumerate(wanted):
            if size == 0:
                if axis >= len(source):
                    raise node.malformed(
                        f"shape {wanted} copies dimension {axis} of a tensor of {len(source)} dimensions"
                    )
                wanted[axis] = source[axis]
    if any(isinstance(size, Quantity) for size in source):
        emit_sizes(node, builder, tensor, _open_dimension(node, builder, source, wanted))
        return
    known = [size if isinstance(size, int) else -1 for size in wanted]
    if known.count(-1) > 1 and known != wanted:
        raise _reshaped_by_data(node)
    _emit(node, builder, _infer_open_dimension(node, builder.shape_of(tensor), known))


def _open_dimension(
    node: OnnxNode, builder: GraphBuilder, source: list[Number], wanted: list[Number]
) -> list[Number]:
    """The sizes that are wanted, with that which stands for the rest."""
    arithmetic, rest = Arithmetic(node, builder), [size for size in wanted if size != -1]
    if len(rest) == len(wanted):
        return wanted
    known, elements = arithmetic.product(rest), arithmetic.product(source)
    (root, times, offset), (other, others, more) = map(builder.quantities.linear, (elements, known))
    if len(wanted) - len(rest) > 1 or most(known) < 1:
        raise node.malformed(f"shape {wanted} has several open dimensions")
    if isinstance(known, int):
        found = arithmetic.divide(elements, known)
    elif root == other and times % others == 0 and offset == times // others * more:
        found = times // others
    else:
        raise _reshaped_by_data(node)
    return [found if size == -1 else size for size in wanted]


def emit_sizes(node: OnnxNode, builder: GraphBuilder, tensor: str, sizes: list[Number]) -> None:
    """A tensor under another shape, one size of which may depend on data as its own does. Its first elements in
    row-major order must be those of the result: the axis with a length stays where it is, or is the outermost of both.
    """
    shape, whole = builder.shape_of(tensor), builder.to_bound(node, tensor)
    own, place = ([isinstance(size, Quantity) for size in one] for one in (sizes_of(builder, tensor), sizes))
    if sum(own) != 1 or sum(place) != 1:
        if sum(own) or sum(place):
            raise _reshaped_by_data(node)
        builder.emit(node, Reshape(), whole, shape=bounds_of(node, sizes))
        return
    axis, target = own.index(True), place.index(True)
    before, behind = _around(shape, axis), _around(tuple(map(most, sizes)), target)
    if before != behind and (before[0] != 1 or behind[0] != 1 or not behind[1]):
        raise _reshaped_by_data(node)
    bound = shape[axis] * before[1] // behind[1]
    if before != behind and bound * behind[1] != shape[axis] * before[1]:
        flat = builder.emit(node, Reshape(), whole, step="flat", shape=(shape[axis] * before[1],))
        steps = Steps(node, builder)
        whole = steps("Slice", flat, steps.integers(0), steps.integers(bound * behind[1]), steps.integers(0))
    result = tuple(bound if number == target else most(size) for number, size in enumerate(sizes))
    builder.emit(node, Reshape(), whole, shape=result)
    declare(builder, node.output, sizes)


def _around(shape: Sequence[int], axis: int) -> tuple[int, int]:
    """How many elements an axis has before it and behind it, of the others."""
    return math.prod(shape[:axis]), math.prod(shape[axis + 1 :])


def _reshaped_by_data(node: OnnxNode) -> UnsupportedOperatorError:
    return node.unsupported(
        "it gives a tensor whose size depends on data another shape, which does not keep that axis",
        "make that tensor an output and compute the rest outside of the network",
    )


@handles("Flatten", "all")
def flatten(node: OnnxNode, builder: GraphBuilder) -> None:
    """Flatten to a matrix, split at an axis."""
    sizes = sizes_of(builder, node.input(0))
    axis = node.integer("axis", 1)
    if not -len(sizes) <= axis <= len(sizes):
        raise node.malformed(f"axis {axis} is outside a tensor of {len(sizes)} dimensions")
    axis += len(sizes) if axis < 0 else 0
    arithmetic = Arithmetic(node, builder)
    parts = [arithmetic.product(part) for part in (sizes[:axis], sizes[axis:])]
    emit_sizes(node, builder, builder.tensor(node), parts)


@handles("Squeeze", "axes by attribute or constant input, or none")
def squeeze(node: OnnxNode, builder: GraphBuilder) -> None:
    """Squeeze drops dimensions of size 1."""
    sizes = sizes_of(builder, node.input(0))
    given = _axes(node, builder)
    every = tuple(axis for axis, size in enumerate(sizes) if size == 1)
    axes = every if given is None else _normalised(node, given, len(sizes))
    if any(isinstance(sizes[axis], Quantity) for axis in (axes if given else range(len(sizes)))):
        raise node.unsupported(
            "whether it drops an axis depends on data", "export the model with axes to drop"
        )
    if any(sizes[axis] != 1 for axis in axes):
        raise node.malformed(f"axes {sorted(axes)} of a tensor of shape {sizes} are not all of size 1")
    kept = [size for axis, size in enumerate(sizes) if axis not in axes]
    emit_sizes(node, builder, builder.tensor(node), kept)


@handles("Unsqueeze", "axes by attribute or constant input")
def unsqueeze(node: OnnxNode, builder: GraphBuilder) -> None:
    """Unsqueeze inserts dimensions of size 1."""
    sizes = sizes_of(builder, node.input(0))
    given = _axes(node, builder)
    if given is None:
        raise node.malformed("it has no axes")
    rank = len(sizes) + len(given)
    axes, own = _normalised(node, given, rank), iter(sizes)
    emit_sizes(
        node, builder, builder.tensor(node), [1 if axis in axes else next(own) for axis in range(rank)]
    )


@handles("Identity", "all", takes_sequences=True)
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
