"""Two-dimensional pooling."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, Self

import numpy as np

from codegen.element_type import FLOAT32
from codegen.errors import GraphSpecError
from codegen.expression import RESULT, Expression
from codegen.interval import Interval, hull
from codegen.onnx_import.registry import handles
from codegen.onnx_import.windows import WindowParameters, ceil_pads, read_window
from codegen.onnx_import.windows_nd import list_attribute, read_windows
from codegen.operator import Arrays, Epilogued, Types
from codegen.operators.pool_nd import emit_global, emit_pool
from codegen.operators.quantized_conv2d import BYTES
from codegen.operators.reduction import emit_reduction, reduce_axes
from codegen.operators.reshape import Reshape
from codegen.operators.transpose import FROM_PLANES, TO_PLANES, Transpose, moves_nothing
from codegen.tensor import Doubles, Shape, TensorType
from codegen.windows import (
    NO_PADS,
    Pads,
    Pair,
    padded,
    plane_of_windows,
    require_planes,
    summed,
    taps,
    window_extent,
    window_text,
)

if TYPE_CHECKING:
    from codegen.onnx_import.builder import GraphBuilder
    from codegen.onnx_import.node import OnnxNode


@dataclass(frozen=True)
class Pool2d(Epilogued):
    """Maximum or average over windows. A window over the whole plane is a global pool.

    Fields:
        kind: max or average
        kernel: rows and columns of the window
        strides: elements from one window to the next, by rows and by columns
        pads: elements beside the plane: top, left, bottom, right
        dilations: elements from one tap of the window to the next, by rows and by columns
        include_padding: whether the divisor of an average counts padding
        epilogue: what is done to each element of the result, which is operand 0; operand 1 is a further input
    """

    kind: str  # "max" | "average"
    kernel: Pair
    strides: Pair = (1, 1)
    pads: Pads = NO_PADS
    dilations: Pair = (1, 1)
    include_padding: bool = False  # average: the divisor counts padded elements too
    epilogue: Expression = RESULT

    def infer(self, inputs: Types, weights: Types, declared: Types) -> tuple[TensorType, ...]:
        source = self.sole(inputs, weights, 0)
        require_planes(self, source.shape)
        if self.kind not in ("max", "average"):
            raise GraphSpecError(f"Pool2d of unknown kind {self.kind!r}; known: average, max")
        plane = plane_of_windows(self, source.shape)
        for axis in (0, 1):
            self._require_elements(axis, source.shape[2 + axis], plane[axis])
        return self.result(inputs, replace(source, shape=(*source.shape[:2], *plane)))

    def evaluate(self, inputs: Arrays, weights: Arrays, outputs: Types) -> tuple[Doubles, ...]:
        height, width = outputs[0].shape[2:]
        if self.kind == "max":
            result = np.full(outputs[0].shape, -np.inf)
            for _, _, tap in taps(padded(inputs[0], self.pads, -np.inf), self, (height, width)):
                np.maximum(result, tap, out=result)
            return self.finish(result, inputs)
        total, count = np.zeros(outputs[0].shape), np.zeros((height, width))
        ones = padded(np.ones((1, 1, *inputs[0].shape[2:])), self.pads, float(self.include_padding))
        for _, _, tap in taps(padded(inputs[0], self.pads, 0.0), self, (height, width)):
            total += tap
        for _, _, tap in taps(ones, self, (height, width)):
            count += tap[0, 0]
        return self.finish(total / count, inputs)

    def describe(self) -> str:
        return f"Pool2d {self.kind} {window_text(self)}"

    def padded_by(self, pads: Pads, input_range: Interval) -> Self | None:
        """The maximum takes no part in its padding: the same as zeros only where nothing is below them. The mean
        counts zeros as elements, and has one kind of padding.
        """
        if self.kind == "max" and input_range.low >= 0.0:
            return replace(self, pads=summed(self.pads, pads))
        if self.kind == "average" and (self.include_padding or not any(self.pads)):
            return replace(self, pads=summed(self.pads, pads), include_padding=True)
        return None

    @property
    def chain_part(self) -> Literal["window"] | None:
        return "window" if self.epilogue.arity <= 1 else None

    def range(self, inputs: Sequence[Interval]) -> Interval:
        source = hull(inputs[0], Interval(0.0, 0.0)) if self.include_padding else inputs[0]
        return self.epilogue.interval((source, *inputs[1:]))

    def _require_elements(self, axis: int, size: int, outputs: int) -> None:
        """Every window must see an element: neither the mean nor the maximum of nothing is defined."""
        begin, dilation = self.pads[axis], self.dilations[axis]
        last_start = (outputs - 1) * self.strides[axis] - begin
        before = begin >= window_extent(self.kernel[axis], dilation) or (begin > 0 and dilation > size)
        if before or last_start >= size:
            raise GraphSpecError(
                f"Pool2d has windows that hold nothing but padding: {self} over {size} elements"
            )


@handles("MaxPool", "all; in one and two dimensions of float32 or two of 8 bits, without indices, as Pool2d")
def max_pool(node: OnnxNode, builder: GraphBuilder) -> None:
    """MaxPool to Pool2d where it is one, else to a PoolNd."""
    _emit(node, builder, "max")


@handles("AveragePool", "all; in one and two dimensions of float32 as Pool2d")
def average_pool(node: OnnxNode, builder: GraphBuilder) -> None:
    """AveragePool to Pool2d where it is one, else to a PoolNd.

    The elements by which `ceil_mode` reaches beyond the declared pads never count in the divisor, the declared ones do
    if asked for: Pool2d has one kind of padding.
    """
    _emit(node, builder, "average")


@handles("GlobalAveragePool", "all")
def global_average_pool(node: OnnxNode, builder: GraphBuilder) -> None:
    """GlobalAveragePool to a Pool2d over the whole plane."""
    _emit_global(node, builder, "average")


@handles("GlobalMaxPool", "all")
def global_max_pool(node: OnnxNode, builder: GraphBuilder) -> None:
    """GlobalMaxPool to a Pool2d over the whole plane."""
    _emit_global(node, builder, "max")


def _emit(node: OnnxNode, builder: GraphBuilder, kind: str) -> None:
    plane = _plane(node, builder)
    op = _planar(node, builder, plane, kind) if plane is not None else None
    if plane is None or op is None:
        emit_pool(node, builder, kind)
    else:
        _emit_on(node, builder, plane, op)


def _plane(node: OnnxNode, builder: GraphBuilder) -> TensorType | None:
    """What a Pool2d reads: the input as it is, or of three axes as planes of a single row; None where it is neither."""
    type_ = builder.type(node)
    if builder.is_constant(node.input(0)) or any(node.outputs[1:]):
        return None
    if len(type_.shape) == 3 and type_.dtype == FLOAT32.name:
        return replace(type_, shape=(*type_.shape[:2], 1, type_.shape[2]))
    known = {FLOAT32.name, *(BYTES if node.op_type == "MaxPool" else ())}
    return type_ if len(type_.shape) == 4 and type_.dtype in known else None


def _planar(node: OnnxNode, builder: GraphBuilder, type_: TensorType, kind: str) -> Pool2d | None:
    """The pool as a Pool2d; None where that cannot say it: two kinds of padding, or windows of nothing but padding."""
    plane = (type_.shape[2], type_.shape[3])
    declared = _declared(node, plane, len(builder.shape(node)))
    window = replace(declared, pads=ceil_pads(declared, plane)) if node.flag("ceil_mode") else declared
    include_padding = kind == "average" and node.flag("count_include_pad") and any(window.pads)
    if include_padding and window != declared:
        if any(declared.pads):
            return None
        include_padding = False
    op = Pool2d(kind, window.kernel, window.strides, window.pads, window.dilations, include_padding)
    try:
        op.infer([type_], [], [])
    except GraphSpecError:
        return None
    return op


def _declared(node: OnnxNode, plane: Pair, rank: int) -> WindowParameters:
    """The node's window over planes, which for an input of three axes have a single row."""
    if rank == 4:
        return read_window(node, plane, node.pair("kernel_shape"))
    kernel = list_attribute(node, "kernel_shape", 1, 0, 1)
    line = read_windows(node, plane[1:], kernel, ceil=node.flag("ceil_mode"))
    (taps,), (stride,), (dilation,) = line.kernel, line.strides, line.dilations
    return WindowParameters((1, taps), (1, stride), (0, line.begins[0], 0, line.ends[0]), (1, dilation))


def _emit_on(node: OnnxNode, builder: GraphBuilder, plane: TensorType, op: Pool2d) -> None:
    """The pool, between Reshapes where its planes are of a single row."""
    if builder.shape(node) == plane.shape:
        builder.emit(node, op, node.input(0))
        return
    (result,) = op.infer([plane], [], [])
    rows = builder.emit(node, Reshape(), builder.activation(node), step="rows", shape=plane.shape)
    pooled = builder.emit(node, op, rows, step="plane")
    builder.emit(node, Reshape(), pooled, shape=(*result.shape[:2], result.shape[3]))


def _emit_global(node: OnnxNode, builder: GraphBuilder, kind: str) -> None:
    plane = _plane(node, builder)
    if plane is None:
        emit_global(node, builder, "mean" if kind == "average" else "max")
        return
    _emit_on(node, builder, plane, Pool2d(kind, (plane.shape[2], plane.shape[3])))


@handles("ReduceMean", "over any constant axes")
def reduce_mean(node: OnnxNode, builder: GraphBuilder) -> None:
    """ReduceMean over height and width to an average Pool2d, and a Reshape where the dimensions are not kept."""
    type_ = builder.type(node)
    shape = type_.shape
    axes = frozenset(reduce_axes(node, builder, len(shape)))
    reduced = {axis for axis in axes if shape[axis] > 1}  # the mean over one element is that element
    channels_last = 1 in reduced
    is_plane = len(shape) == 4 and reduced <= ({1, 2} if channels_last else {2, 3})
    if builder.is_constant(node.input(0)) or type_.dtype != FLOAT32.name or (reduced and not is_plane):
        emit_reduction(node, builder, "mean")
        return
    tensor = builder.activation(node)
    if channels_last:
        tensor = builder.emit(node, Transpose(TO_PLANES), tensor, step="planes")
        reduced = {TO_PLANES.index(axis) for axis in reduced}
    if reduced:
        plane = builder.shape_of(tensor)
        kernel = (plane[2] if 2 in reduced else 1, plane[3] if 3 in reduced else 1)
        tensor = builder.emit(node, Pool2d("average", kernel), tensor, step="mean")
    if channels_last and not moves_nothing(FROM_PLANES, builder.shape_of(tensor)):
        tensor = builder.emit(node, Transpose(FROM_PLANES), tensor, step="channels_last")
    builder.emit(node, Reshape(), tensor, shape=_mean_shape(node, shape, axes))


def _mean_shape(node: OnnxNode, shape: Shape, axes: frozenset[int]) -> Shape:
    if node.integer("keepdims", 1):
        return tuple(1 if axis in axes else size for axis, size in enumerate(shape))
    return tuple(size for axis, size in enumerate(shape) if axis not in axes)
