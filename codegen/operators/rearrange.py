"""Elements in another arrangement: each is one of the input's, at a place that adds up over the axes, or a number."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from codegen.errors import GraphSpecError
from codegen.interval import Interval, hull
from codegen.onnx_import.arithmetic import Arithmetic
from codegen.onnx_import.quantities import Number, Quantity, most
from codegen.onnx_import.registry import handles
from codegen.onnx_import.sizes import bounds_of, declare, number_of, numbers_of, sizes_of
from codegen.onnx_import.steps import Steps
from codegen.onnx_import.tensors import MAX_ELEMENTS
from codegen.operator import Arrays, Operator, Types, sole_input
from codegen.operators.reshape import Reshape
from codegen.places import NOWHERE, Piece, Places
from codegen.tensor import Doubles, Shape, TensorType

if TYPE_CHECKING:
    from codegen.onnx_import.builder import GraphBuilder
    from codegen.onnx_import.node import OnnxNode

MOST_PLACES = 2**20  # of an axis that are listed one by one


@dataclass(frozen=True)
class Rearrange(Operator):
    """Element (i, j, ...) of the result of that shape is the input's in row-major place `offset + i strides[0] + ...`.

    An axis with a table has places of it in the stead of multiples of its stride; where one of them is -1, the result
    is `fill`.

    Fields:
        shape: sizes of the result
        strides: elements of the input from one index of each axis to the next
        offset: place in the input of the first element
        tables: for each axis the places that its indices add, or nothing: then its stride says so
        fill: the element where a table has -1
    """

    moves_elements = True

    shape: tuple[int, ...]
    strides: tuple[int, ...]
    offset: int = 0
    tables: tuple[tuple[int, ...], ...] = ()
    fill: float = 0.0

    def infer(self, inputs: Types, weights: Types, declared: Types) -> tuple[TensorType, ...]:
        source = sole_input(self, inputs, weights, 0)
        if len(self.strides) != len(self.shape) or len(self.tables) not in (0, len(self.shape)):
            raise GraphSpecError(f"Rearrange to {self.shape} with strides {self.strides}")
        # Places add up over the axes, so do their least and their largest: the result may have millions.
        axes = [steps[is_somewhere] for steps, is_somewhere in map(self.steps, range(len(self.shape)))]
        if all(map(len, axes)):
            least = self.offset + sum(int(steps.min()) for steps in axes)
            largest = self.offset + sum(int(steps.max()) for steps in axes)
            if least < 0 or largest >= source.elements:
                raise GraphSpecError(f"Rearrange of {source.shape} reads beyond its elements")
        return (TensorType(self.shape, source.dtype),)

    def evaluate(self, inputs: Arrays, weights: Arrays, outputs: Types) -> tuple[Doubles, ...]:
        places = self.places
        return (np.where(places == NOWHERE, self.fill, inputs[0].reshape(-1)[places]),)

    @property
    def places(self) -> Places:
        """The place of every element of the result, NOWHERE for `fill`."""
        total: Places = np.full((1,) * len(self.shape), self.offset, dtype=np.int64)
        nowhere = np.zeros((1,) * len(self.shape), dtype=bool)
        for axis, size in enumerate(self.shape):
            steps, is_somewhere = self.steps(axis)
            along = [size if other == axis else 1 for other in range(len(self.shape))]
            total = total + steps.reshape(along)
            nowhere = nowhere | ~is_somewhere.reshape(along)
        places = np.where(np.broadcast_to(nowhere, self.shape), NOWHERE, np.broadcast_to(total, self.shape))
        return places

    def steps(self, axis: int) -> tuple[Places, NDArray[np.bool_]]:
        """What each index of an axis adds to the place, and whether it has one; raises GraphSpecError for a table of
        another length than the axis.
        """
        table, size = self.tables[axis] if self.tables else (), self.shape[axis]
        if not table:
            return np.arange(size) * self.strides[axis], np.ones(size, dtype=bool)
        if len(table) != size:
            raise GraphSpecError(f"Rearrange to {self.shape} has a table of {len(table)} for axis {axis}")
        steps = np.array(table, dtype=np.int64)
        return steps, steps != NOWHERE

    def carried(self, axis: int, source: int, inputs: Types, outputs: Types) -> tuple[int | None, ...]:
        shape = inputs[0].shape
        size, stride = shape[axis], math.prod(shape[axis + 1 :])
        for place, length in enumerate(self.shape):
            steps, is_somewhere = self.steps(place)
            if length == size and is_somewhere.all() and np.array_equal(steps, np.arange(size) * stride):
                others = [self.steps(other)[0] for other in range(len(self.shape)) if other != place]
                return (place if self._stays_beside(others, size, stride) else None,)
        return (None,)

    def _stays_beside(self, others: Sequence[Places], size: int, stride: int) -> bool:
        """Whether these axes never step along one of that size and stride: neither themselves nor by a carry."""
        reach = self.offset % stride + sum(int((steps % stride).max()) for steps in others)
        along = [np.array([self.offset]), *others]
        return reach < stride and not any((steps // stride % size).any() for steps in along)

    def describe(self) -> str:
        return "Rearrange"

    def pieces(self, inputs: Types, outputs: Types) -> Sequence[Piece]:
        return (Piece(0, 0, self.places, fill=self.fill),)

    def range(self, inputs: Sequence[Interval]) -> Interval:
        return hull(inputs[0], Interval(self.fill, self.fill)) if any(self.tables) else inputs[0]


def selection(shape: Shape, indices: Sequence[Places], fill: float = 0.0) -> Rearrange:
    """The elements of a tensor at these indices along each of its axes; -1 is `fill`."""
    strides = [math.prod(shape[axis + 1 :]) for axis in range(len(shape))]
    offset, steps = 0, []
    tables: list[tuple[int, ...]] = []
    for stride, index in zip(strides, indices, strict=True):
        if _is_uneven(index):
            steps.append(0)
            tables.append(tuple(np.where(index >= 0, index * stride, NOWHERE).tolist()))
        else:
            offset += int(index[0]) * stride
            steps.append(_difference(index) * stride)
            tables.append(())
    sizes = tuple(map(len, indices))
    return Rearrange(sizes, tuple(steps), offset, tuple(tables) if any(tables) else (), fill)


def _difference(index: Places) -> int:
    return int(index[1] - index[0]) if len(index) > 1 else 0


def _is_uneven(index: Places) -> bool:
    """Whether places along an axis need a table: they are not one apart from the next as the first two are."""
    if index.size == 0 or index.min() < 0:
        return True
    return not np.array_equal(index, index[0] + _difference(index) * np.arange(len(index)))


def emit_selection(
    node: OnnxNode,
    builder: GraphBuilder,
    tensor: str,
    indices: Sequence[Places],
    *,
    view: Shape | None = None,
    fill: float = 0.0,
    step: str = "",
    outputs: Sequence[str] | None = None,
) -> str:
    """The selection of a tensor, or of another view of it; a Reshape where it leaves everything in its place."""
    shape = builder.shape_of(tensor) if view is None else view
    if all(np.array_equal(index, np.arange(size)) for index, size in zip(indices, shape, strict=True)):
        return builder.emit(node, Reshape(), tensor, shape=tuple(shape), step=step, outputs=outputs)
    if max(map(len, indices), default=1) > MOST_PLACES and any(map(_is_uneven, indices)):
        raise node.unsupported(
            f"it picks more than {MOST_PLACES} places along an axis, not evenly apart",
            "make the axis shorter",
        )
    return builder.emit(node, selection(shape, indices, fill), tensor, step=step, outputs=outputs)


def whole(shape: Shape) -> list[Places]:
    """Every index of every axis."""
    return [np.arange(size) for size in shape]


@handles("Expand", "constant shape, or one of sizes that depend on data")
def expand(node: OnnxNode, builder: GraphBuilder) -> None:
    """Expand to what shape and tensor broadcast to."""
    tensor, wanted = builder.tensor(node), numbers_of(node, builder, 1)
    own = sizes_of(builder, tensor)
    rank = max(len(own), len(wanted))
    view, target = [[*(1,) * (rank - len(sizes)), *sizes] for sizes in (own, wanted)]
    result = [_broadcast(node, one, other) for one, other in zip(view, target, strict=True)]
    shape = bounds_of(node, result)
    bounds = tuple(map(most, view))
    indices = [
        np.zeros(size, np.int64) if old == 1 else np.arange(size)
        for old, size in zip(bounds, shape, strict=True)
    ]
    emit_selection(node, builder, builder.to_bound(node, tensor), indices, view=bounds)
    declare(builder, node.output, result)


def _broadcast(node: OnnxNode, own: Number, wanted: Number) -> Number:
    """What an axis and the size that is wanted of it broadcast to."""
    if own == wanted or wanted == 1:
        return own
    if own == 1:
        return wanted
    if isinstance(own, int) and isinstance(wanted, int):
        raise node.malformed(f"an axis of {own} elements does not expand to {wanted}")
    raise node.unsupported(
        "two sizes that it expands to each other depend on data", "compute it outside of the network"
    )


@handles("Tile", "constant repeats")
def tile(node: OnnxNode, builder: GraphBuilder) -> None:
    """Tile as often as it says along each axis."""
    tensor, repeats = builder.tensor(node), builder.integers(node, 1)
    shape = builder.shape_of(tensor)
    if len(repeats) != len(shape) or min(repeats, default=0) < 0:
        raise node.malformed(f"repeats {list(repeats)} do not fit a tensor of shape {shape}")
    builder.require_size(node, [size * times for size, times in zip(shape, repeats, strict=True)])
    indices = [np.tile(np.arange(size), times) for size, times in zip(shape, repeats, strict=True)]
    emit_selection(node, builder, tensor, indices)


@handles("Slice", "constant, by attribute or input; along one axis between computed ends, with a length")
def slice_(node: OnnxNode, builder: GraphBuilder) -> None:
    """Slice as Python's slices do, but that a start or end beyond the tensor is its edge."""
    tensor = builder.tensor(node)
    shape = builder.shape_of(tensor)
    starts: list[Number]
    ends: list[Number]
    if node.opset < 10:
        starts, ends = list(node.integers("starts") or ()), list(node.integers("ends") or ())
        axes, steps = node.integers("axes"), None
    else:
        starts, ends = number_of(node, builder, 1), number_of(node, builder, 2)
        axes = builder.integers(node, 3) if node.has_input(3) else None
        steps = builder.integers(node, 4) if node.has_input(4) else None
    axes = tuple(range(len(starts))) if axes is None else axes
    steps = (1,) * len(starts) if steps is None else steps
    if not len(starts) == len(ends) == len(axes) == len(steps) or 0 in steps:
        raise node.malformed(
            f"starts {starts}, ends {ends}, axes {axes}, steps {steps} do not fit each other"
        )
    sizes, indices, moving = sizes_of(builder, tensor), whole(shape), list[Part]()
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        axis = node.axis(axis, len(shape))
        if isinstance(start, int) and isinstance(end, int) and isinstance(sizes[axis], int):
            indices[axis] = np.arange(shape[axis])[_slice(start, end, step, shape[axis])]
        else:
            part = part_of(node, builder, sizes[axis], start, end, step)
            moving.append(replace(part, axis=axis))
    if not moving:
        emit_selection(node, builder, tensor, indices)
        return
    if len(moving) > 1:
        raise node.unsupported(
            "it cuts several axes at places that depend on data", "cut one after the other"
        )
    emit_part(node, builder, tensor, indices, moving[0])


@dataclass(frozen=True)
class Part:
    """`count` elements along an axis from `first` on, each `step` behind the one before."""

    first: Number
    count: Number
    step: int
    axis: int = 0


def part_of(
    node: OnnxNode, builder: GraphBuilder, size: Number, start: Number, end: Number, step: int
) -> Part:
    """What a slice cuts out of an axis of that size."""
    known, step = Arithmetic(node, builder), min(max(step, -MAX_ELEMENTS), MAX_ELEMENTS)
    start, end = (known.from_front(place, size) for place in (start, end))
    if step > 0:
        first, last = (known.smaller(known.larger(place, 0), size) for place in (start, end))
        first = start if isinstance(start, int) else first  # of nothing where it lies behind the end
        way = known.subtract(last, first)
    else:
        edge = known.subtract(size, 1)
        first, last = (known.smaller(known.larger(place, -1), edge) for place in (start, end))
        way = known.subtract(first, last)
    count = known.divide(known.add(known.larger(way, 0), abs(step) - 1), abs(step))
    return Part(first, known.smaller(count, size), step)


def emit_part(node: OnnxNode, builder: GraphBuilder, tensor: str, indices: list[Places], part: Part) -> None:
    """The selection of a tensor, whatever its length, with a part of one axis that depends on data."""
    bound, axis, steps = most(part.count), part.axis, Steps(node, builder)
    beside = [size for other, size in enumerate(sizes_of(builder, tensor)) if other != axis]
    sizes: list[Number] = [*beside[:axis], part.count, *beside[axis:]]
    sizes = [
        size if other == axis or isinstance(size, Quantity) else len(indices[other])
        for other, size in enumerate(sizes)
    ]
    bounds_of(node, sizes)
    source, places = builder.to_bound(node, tensor), np.arange(bound, dtype=np.int64) * part.step
    if isinstance(part.first, int):
        indices[axis] = part.first + places
        emit_selection(node, builder, source, indices)
    else:
        if any(
            not np.array_equal(*pair) for pair in zip(indices, whole(builder.shape_of(tensor)), strict=True)
        ):
            source = emit_selection(node, builder, source, indices, step="cut")
        moved = steps("Add", steps.constant(places), part.first.tensor)
        steps("Gather", source, moved, to=node.output, axis=axis)
    declare(builder, node.output, sizes)


def _slice(start: int, end: int, step: int, size: int) -> slice:
    start, end = (value + size if value < 0 else value for value in (start, end))
    if step > 0:
        return slice(min(max(start, 0), size), min(max(end, 0), size), step)
    start, end = min(max(start, -1), size - 1), min(max(end, -1), size - 1)
    return slice(start, None if end < 0 else end, step) if start >= 0 else slice(0, 0)


@handles("Trilu", "constant k")
def trilu(node: OnnxNode, builder: GraphBuilder) -> None:
    """Trilu by a mask of the last two axes."""
    tensor = builder.tensor(node)
    type_ = builder.type_of(tensor)
    if len(type_.shape) < 2:
        raise node.malformed(f"it takes matrices, not a tensor of shape {type_.shape}")
    offset = builder.whole(node, 1, 0)
    ones = np.ones(type_.shape[-2:], dtype=bool)
    mask = np.triu(ones, offset) if node.integer("upper", 1) else np.tril(ones, offset)
    steps = Steps(node, builder)
    zero = steps.constant(0, type_.dtype)
    steps("Where", steps.constant(mask), tensor, zero, to=node.output)


@handles("DepthToSpace", "DCR and CRD")
def depth_to_space(node: OnnxNode, builder: GraphBuilder) -> None:
    """DepthToSpace as a transposition of views."""
    block, shape = node.integer("blocksize", 1), builder.type(node).shape
    if len(shape) != 4 or block < 1 or shape[1] % block**2:
        raise node.malformed(f"a tensor of shape {shape} has no blocks of {block} by {block}")
    batch, channels, height, width = shape
    depth, steps = channels // block**2, Steps(node, builder)
    if node.text("mode", "DCR") == "DCR":
        view, order = (batch, block, block, depth, height, width), (0, 3, 4, 1, 5, 2)
    else:
        view, order = (batch, depth, block, block, height, width), (0, 1, 4, 2, 5, 3)
    result = (batch, depth, height * block, width * block)
    _transposed(node, steps, view, order, result)


@handles("SpaceToDepth", "all")
def space_to_depth(node: OnnxNode, builder: GraphBuilder) -> None:
    """SpaceToDepth as a transposition of views."""
    block, shape = node.integer("blocksize", 1), builder.type(node).shape
    if len(shape) != 4 or block < 1 or shape[2] % block or shape[3] % block:
        raise node.malformed(f"a tensor of shape {shape} has no blocks of {block} by {block}")
    batch, channels, height, width = shape
    height, width = height // block, width // block
    depth_first = node.text("mode", "DCR") == "DCR"
    view = (batch, channels, height, block, width, block)
    order = (0, 3, 5, 1, 2, 4) if depth_first else (0, 1, 3, 5, 2, 4)
    _transposed(node, Steps(node, builder), view, order, (batch, channels * block**2, height, width))


def _transposed(node: OnnxNode, steps: Steps, view: Shape, order: Sequence[int], result: Shape) -> None:
    viewed = steps("Reshape", node.input(0), steps.integers(*view))
    moved = steps("Transpose", viewed, perm=list(order))
    steps("Reshape", moved, steps.integers(*result), to=node.output)


def gather_constant(
    node: OnnxNode, builder: GraphBuilder, tensor: str, indices: NDArray[Any], axis: int
) -> None:
    """Gather along an axis by indices that are known."""
    shape = builder.shape_of(tensor)
    size = shape[axis]
    if indices.dtype.kind not in "iu":
        raise node.malformed(f"its indices are {indices.dtype}, not integers")
    if indices.size and not (-size <= int(indices.min()) and int(indices.max()) < size):
        raise node.malformed(f"its indices lie outside axis {axis} of a tensor of shape {shape}")
    chosen = whole(shape)
    chosen[axis] = np.where(indices < 0, indices + size, indices).reshape(-1).astype(np.int64)
    result = (*shape[:axis], *indices.shape, *shape[axis + 1 :])
    if indices.ndim == 1:
        emit_selection(node, builder, tensor, chosen)
        return
    gathered = emit_selection(node, builder, tensor, chosen, step="gathered")
    builder.emit(node, Reshape(), gathered, shape=result)


@handles("Gather", "all")
def gather(node: OnnxNode, builder: GraphBuilder) -> None:
    """Gather along an axis, by constant indices or computed ones, which count from the end of what has a length."""
    from codegen.operators.indexing import Gather, from_front

    tensor = builder.tensor(node)
    axis, length = node.axis(node.integer("axis", 0), len(builder.shape_of(tensor))), builder.length(tensor)
    if length is not None and length.axis == axis:
        indices = from_front(node, builder, node.input(1), length.tensor)
        builder.emit(node, Gather(axis), (builder.to_bound(node, tensor), indices))
    elif builder.is_constant(node.input(1)):
        gather_constant(node, builder, tensor, np.asarray(builder.constant(node, 1)), axis)
    else:
        builder.emit(node, Gather(axis), (tensor, builder.activation(node, 1)))
