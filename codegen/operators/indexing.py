"""Elements read and written at places that are computed: Gather and Scatter in their forms."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from codegen.errors import GraphSpecError
from codegen.onnx_import.registry import handles
from codegen.onnx_import.sizes import within_length
from codegen.onnx_import.steps import Steps
from codegen.operator import Arrays, Operator, Types
from codegen.tensor import Doubles, TensorType

if TYPE_CHECKING:
    from codegen.onnx_import.builder import GraphBuilder
    from codegen.onnx_import.node import OnnxNode

REDUCTIONS = ("none", "add", "mul", "min", "max")
INDEX_TYPES = ("int32", "int64")


def _require(op: Operator, inputs: Types, weights: Types, count: int) -> None:
    if len(inputs) != count or weights or inputs[1].dtype not in INDEX_TYPES:
        raise GraphSpecError(
            f"{type(op).__name__} takes {count} inputs, the second of int32 or int64 indices, not {inputs}"
        )
    if inputs[-1].dtype != inputs[0].dtype and count > 2:
        raise GraphSpecError(f"{type(op).__name__} of updates of {inputs[2].dtype} to {inputs[0].dtype}")


def _whole(indices: Doubles, size: int) -> NDArray[np.int64]:
    """Indices from the front, those outside as the nearest inside: what kernels do with them."""
    whole = indices.astype(np.int64)
    return np.clip(np.where(whole < 0, whole + size, whole), 0, size - 1)


@dataclass(frozen=True)
class Gather(Operator):
    """Along `axis`, in its place, the elements at indices of any shape; negative ones count from the end.

    Fields:
        axis: the axis, counted from 0
    """

    axis: int

    def infer(self, inputs: Types, weights: Types, declared: Types) -> tuple[TensorType, ...]:
        _require(self, inputs, weights, 2)
        source, indices = inputs
        if not 0 <= self.axis < len(source.shape):
            raise GraphSpecError(f"Gather along axis {self.axis} of a tensor of shape {source.shape}")
        shape = (*source.shape[: self.axis], *indices.shape, *source.shape[self.axis + 1 :])
        return (TensorType(shape, source.dtype),)

    def evaluate(self, inputs: Arrays, weights: Arrays, outputs: Types) -> tuple[Doubles, ...]:
        return (inputs[0].take(_whole(inputs[1], inputs[0].shape[self.axis]), axis=self.axis),)

    def carried(self, axis: int, source: int, inputs: Types, outputs: Types) -> tuple[int | None, ...]:
        if source == 1:
            return (self.axis + axis,)
        return (None if axis == self.axis else axis + (axis > self.axis) * (len(inputs[1].shape) - 1),)

    def describe(self) -> str:
        return f"Gather axis {self.axis}"


@dataclass(frozen=True)
class GatherElements(Operator):
    """An element for each index, whose other coordinates are the index's own.

    Fields:
        axis: the axis, counted from 0
    """

    axis: int

    def infer(self, inputs: Types, weights: Types, declared: Types) -> tuple[TensorType, ...]:
        _require(self, inputs, weights, 2)
        source, indices = inputs
        if len(source.shape) != len(indices.shape) or not 0 <= self.axis < len(source.shape):
            raise GraphSpecError(f"GatherElements of {source.shape} at {indices.shape} along {self.axis}")
        return (TensorType(indices.shape, source.dtype),)

    def evaluate(self, inputs: Arrays, weights: Arrays, outputs: Types) -> tuple[Doubles, ...]:
        indices = _whole(inputs[1], inputs[0].shape[self.axis])
        return (inputs[0][tuple(_coordinates(indices, self.axis))],)

    def carried(self, axis: int, source: int, inputs: Types, outputs: Types) -> tuple[int | None, ...]:
        return (None if axis == self.axis and source == 0 else axis,)

    def describe(self) -> str:
        return f"GatherElements axis {self.axis}"


@dataclass(frozen=True)
class GatherND(Operator):
    """Slices at tuples of indices, the last axis of the second input, behind `batch` common axes.

    Fields:
        batch: how many leading axes both inputs have in common
    """

    batch: int

    def infer(self, inputs: Types, weights: Types, declared: Types) -> tuple[TensorType, ...]:
        _require(self, inputs, weights, 2)
        source, indices = inputs
        depth = indices.shape[-1] if indices.shape else 0
        if (
            not depth
            or self.batch + depth > len(source.shape)
            or source.shape[: self.batch] != indices.shape[: self.batch]
        ):
            raise GraphSpecError(f"GatherND of {source.shape} at {indices.shape} behind {self.batch} axes")
        return (TensorType((*indices.shape[:-1], *source.shape[self.batch + depth :]), source.dtype),)

    def evaluate(self, inputs: Arrays, weights: Arrays, outputs: Types) -> tuple[Doubles, ...]:
        source, indices = inputs
        common = int(np.prod(source.shape[: self.batch], dtype=np.int64))
        flat = source.reshape(common, *source.shape[self.batch :])
        tuples = indices.reshape(common, -1, indices.shape[-1])
        places = [_whole(tuples[..., axis], flat.shape[1 + axis]) for axis in range(tuples.shape[-1])]
        found = flat[(np.arange(common)[:, None], *places)]
        return (found.reshape(outputs[0].shape),)

    def carried(self, axis: int, source: int, inputs: Types, outputs: Types) -> tuple[int | None, ...]:
        is_tuple = source == 1 and axis == len(inputs[1].shape) - 1
        return (None if is_tuple or (source == 0 and axis >= self.batch) else axis,)


@dataclass(frozen=True)
class ScatterElements(Operator):
    """The first input with updates at indices along `axis`, whose other coordinates are the update's own; several of
    one place come one behind the other.

    Fields:
        axis: the axis, counted from 0
        reduction: what an update does to the element: none (takes its place), add, mul, min or max
    """

    axis: int
    reduction: str = "none"

    def infer(self, inputs: Types, weights: Types, declared: Types) -> tuple[TensorType, ...]:
        _require(self, inputs, weights, 3)
        source, indices, updates = inputs
        if indices.shape != updates.shape or len(indices.shape) != len(source.shape):
            raise GraphSpecError(f"ScatterElements of {updates.shape} to {source.shape} at {indices.shape}")
        if not 0 <= self.axis < len(source.shape) or self.reduction not in REDUCTIONS:
            raise GraphSpecError(f"ScatterElements along axis {self.axis} by {self.reduction!r}")
        return (source,)

    def evaluate(self, inputs: Arrays, weights: Arrays, outputs: Types) -> tuple[Doubles, ...]:
        result = inputs[0].copy()
        indices = _whole(inputs[1], result.shape[self.axis])
        _write(result, tuple(_coordinates(indices, self.axis)), inputs[2], self.reduction)
        return (result,)

    def describe(self) -> str:
        return f"ScatterElements axis {self.axis} {self.reduction}"


@dataclass(frozen=True)
class ScatterND(Operator):
    """The first input with slices of updates at tuples of indices, the last axis of the second input.

    Fields:
        reduction: what an update does to the element: none (takes its place), add, mul, min or max
    """

    reduction: str = "none"

    def infer(self, inputs: Types, weights: Types, declared: Types) -> tuple[TensorType, ...]:
        _require(self, inputs, weights, 3)
        source, indices, updates = inputs
        depth = indices.shape[-1] if indices.shape else 0
        if not 0 < depth <= len(source.shape) or self.reduction not in REDUCTIONS:
            raise GraphSpecError(f"ScatterND to {source.shape} at {indices.shape} by {self.reduction!r}")
        if updates.shape != (*indices.shape[:-1], *source.shape[depth:]):
            raise GraphSpecError(f"ScatterND of {updates.shape} to {source.shape} at {indices.shape}")
        return (source,)

    def evaluate(self, inputs: Arrays, weights: Arrays, outputs: Types) -> tuple[Doubles, ...]:
        result, indices = inputs[0].copy(), inputs[1]
        depth = indices.shape[-1]
        tuples = [_whole(indices[..., axis], result.shape[axis]) for axis in range(depth)]
        rest = result.shape[depth:]
        places = [place.reshape(*place.shape, *(1,) * len(rest)) for place in tuples]
        inner = np.indices(rest) if rest else ()
        _write(result, (*places, *inner), inputs[2], self.reduction)
        return (result,)


def _coordinates(indices: NDArray[np.int64], axis: int) -> list[NDArray[np.int64]]:
    coordinates: list[Any] = list(np.indices(indices.shape))
    coordinates[axis] = indices
    return coordinates


def _write(result: Doubles, places: tuple[Any, ...], updates: Doubles, reduction: str) -> None:
    if reduction == "none":
        result[places] = updates
        return
    ufunc = {"add": np.add, "mul": np.multiply, "min": np.minimum, "max": np.maximum}[reduction]
    ufunc.at(result, places, updates)


def from_front(node: OnnxNode, builder: GraphBuilder, indices: str, length: str) -> str:
    """Indices of an axis that has a length, negative ones counted from its end."""
    if builder.type_by_name(indices).dtype not in INDEX_TYPES:
        raise node.malformed(f"its indices are {builder.type_by_name(indices).dtype}, not integers")
    known = builder.value(indices) if builder.is_constant(indices) else None
    if known is not None and known.size and known.min() >= 0:
        return builder.tensor_of(node, indices)
    steps = Steps(node, builder)
    whole = steps.cast(indices, "int64")
    behind = steps("Less", whole, steps.constant(0, "int64"))
    chosen = steps("Where", behind, steps("Add", whole, length), whole)
    return builder.tensor_of(node, chosen)


@handles("GatherElements", "all")
def gather_elements(node: OnnxNode, builder: GraphBuilder) -> None:
    """GatherElements along one axis."""
    tensors = [builder.tensor(node, index) for index in range(2)]
    axis, length = (
        node.axis(node.integer("axis", 0), len(builder.shape_of(tensors[0]))),
        builder.length(tensors[0]),
    )
    if length is not None and length.axis == axis:
        tensors = [
            builder.to_bound(node, tensors[0]),
            from_front(node, builder, node.input(1), length.tensor),
        ]
    builder.emit(node, GatherElements(axis), tensors)


@handles("GatherND", "all")
def gather_nd(node: OnnxNode, builder: GraphBuilder) -> None:
    """GatherND behind common axes."""
    tensors = [builder.tensor(node, index) for index in range(2)]
    batch, length = node.integer("batch_dims", 0), builder.length(tensors[0])
    depth = builder.shape_of(tensors[1])[-1:]
    has_axes = bool(depth) and batch + depth[0] <= len(builder.shape_of(tensors[0]))
    if length is not None and has_axes and batch <= length.axis < batch + depth[0]:
        steps = Steps(node, builder)
        place = length.axis - batch
        is_own = steps.constant(np.arange(depth[0]) == place)
        size = steps("Where", is_own, length.tensor, steps.constant(0, "int64"))
        fixed = np.array([builder.shape_of(tensors[0])[batch + other] for other in range(depth[0])])
        fixed[place] = 0
        sizes = steps("Add", size, steps.constant(fixed, "int64"))
        tensors = [builder.to_bound(node, tensors[0]), from_front(node, builder, node.input(1), sizes)]
    builder.emit(node, GatherND(batch), tensors)


@handles("ScatterElements", "all")
def scatter_elements(node: OnnxNode, builder: GraphBuilder) -> None:
    """ScatterElements along one axis."""
    _scattered(node, builder, node.text("reduction", "none"))


@handles("Scatter", "all")
def scatter(node: OnnxNode, builder: GraphBuilder) -> None:
    """The older name of ScatterElements."""
    _scattered(node, builder, "none")


def _scattered(node: OnnxNode, builder: GraphBuilder, reduction: str) -> None:
    tensors = [builder.tensor(node, index) for index in range(3)]
    axis = node.axis(node.integer("axis", 0), len(builder.shape_of(tensors[0])))
    op = ScatterElements(axis, reduction)
    if any(builder.length(tensor) for tensor in tensors):
        _scatter_with_lengths(node, builder, op, axis)
    else:
        builder.emit(node, op, tensors)


@handles("ScatterND", "all")
def scatter_nd(node: OnnxNode, builder: GraphBuilder) -> None:
    """ScatterND of slices."""
    tensors = [builder.tensor(node, index) for index in range(3)]
    op = ScatterND(node.text("reduction", "none"))
    if any(builder.length(tensor) for tensor in tensors):
        _scatter_with_lengths(node, builder, op, 0)
    else:
        builder.emit(node, op, tensors)


def _scatter_with_lengths(
    node: OnnxNode, builder: GraphBuilder, op: ScatterElements | ScatterND, axis: int
) -> None:
    """Updates behind their length go to one more place of the axis, which is cut off again."""
    steps, (source, indices, updates) = (
        Steps(node, builder),
        (builder.tensor(node, index) for index in range(3)),
    )
    own, length = builder.length(source), builder.length(indices)
    if builder.length(updates) != length:
        raise node.unsupported("indices and updates have different lengths", "give them one")
    shape = builder.shape_of(source)
    places = builder.to_bound(node, indices)
    if own is not None and own.axis == axis:
        if isinstance(op, ScatterND) and builder.shape_of(indices)[-1] != 1:
            raise node.unsupported(
                "it writes parts of rows of which there are as many as data say", "write rows"
            )
        places = from_front(node, builder, places, own.tensor)
    spare = steps.constant(np.zeros((*shape[:axis], 1, *shape[axis + 1 :])), builder.type_of(source).dtype)
    extended = steps("Concat", builder.to_bound(node, source), spare, axis=axis)
    if length is not None:
        rank, bound = len(builder.shape_of(indices)), builder.shape_of(indices)[length.axis]
        mask = within_length(node, builder, length, rank, bound)
        places = steps("Where", mask, places, steps.constant(shape[axis], builder.type_of(places).dtype))
    written = builder.emit(node, op, (extended, places, builder.to_bound(node, updates)), step="written")
    cut = (steps.integers(0), steps.integers(shape[axis]), steps.integers(axis))
    steps("Slice", written, *cut, to=node.output)
    if own is not None:
        builder.set_length(node.output, own)


@handles("OneHot", "constant depth")
def one_hot(node: OnnxNode, builder: GraphBuilder) -> None:
    """The second value where an index is that of the new axis, else the first; outside the depth the first alone."""
    depth = builder.whole(node, 1)
    steps, rank = Steps(node, builder), len(builder.type(node).shape)
    builder.require_size(node, [*builder.type(node).shape, depth])
    axis = node.axis(node.integer("axis", -1), rank + 1)
    sizes = [depth if other == axis else 1 for other in range(rank + 1)]
    index = steps("Unsqueeze", steps.cast(node.input(0), "int64"), steps.integers(axis))
    negative = steps("Less", index, steps.constant(0, "int64"))
    index = steps("Where", negative, steps("Add", index, steps.constant(depth, "int64")), index)
    places = steps.constant(np.arange(depth).reshape(sizes), "int64")
    off, on = (steps("Gather", node.input(2), steps.constant(number, "int64")) for number in (0, 1))
    steps("Where", steps("Equal", index, places), on, off, to=node.output)
