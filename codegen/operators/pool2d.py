"""Two-dimensional pooling."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, Self

import numpy as np

from codegen.errors import GraphSpecError
from codegen.expression import RESULT, Expression
from codegen.interval import Interval, hull
from codegen.onnx_import.registry import handles
from codegen.onnx_import.windows import WindowParameters, ceil_pads, read_window, require_plane_input
from codegen.operator import Arrays, Epilogued, Types
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
    """Maximum or average over windows. A window over the whole plane is a global pool."""

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


@handles("MaxPool", "two-dimensional; dilations, ceil_mode, every auto_pad; without indices")
def max_pool(node: OnnxNode, builder: GraphBuilder) -> None:
    """MaxPool to Pool2d."""
    _, window = _windows(node, builder)
    _emit(node, builder, "max", window)


@handles("AveragePool", "two-dimensional; dilations, ceil_mode, count_include_pad, every auto_pad")
def average_pool(node: OnnxNode, builder: GraphBuilder) -> None:
    """AveragePool to Pool2d.

    The elements by which `ceil_mode` reaches beyond the declared pads never count in the divisor, the
    declared ones do if asked for; Pool2d has one kind of padding, so both kinds at once are refused.
    """
    declared, window = _windows(node, builder)
    include_padding = node.flag("count_include_pad") and any(window.pads)
    if include_padding and window != declared:
        if any(declared.pads):
            raise node.unsupported(
                f"ceil_mode reaches beyond the pads {list(declared.pads)} that count_include_pad counts",
                "export the model with ceil_mode=0 or count_include_pad=0",
            )
        include_padding = False
    _emit(node, builder, "average", window, include_padding)


@handles("GlobalAveragePool", "two-dimensional")
def global_average_pool(node: OnnxNode, builder: GraphBuilder) -> None:
    """GlobalAveragePool to a Pool2d over the whole plane."""
    _emit_global(node, builder, "average")


@handles("GlobalMaxPool", "two-dimensional")
def global_max_pool(node: OnnxNode, builder: GraphBuilder) -> None:
    """GlobalMaxPool to a Pool2d over the whole plane."""
    _emit_global(node, builder, "max")


def _windows(node: OnnxNode, builder: GraphBuilder) -> tuple[WindowParameters, WindowParameters]:
    """The window as declared, and with the pads that `ceil_mode` amounts to."""
    shape = builder.shape(node)
    require_plane_input(node, shape)
    plane = (shape[2], shape[3])
    declared = read_window(node, plane, node.pair("kernel_shape"))
    if not node.flag("ceil_mode"):
        return declared, declared
    return declared, replace(declared, pads=ceil_pads(declared, plane))


def _emit(
    node: OnnxNode, builder: GraphBuilder, kind: str, window: WindowParameters, include_padding: bool = False
) -> None:
    op = Pool2d(kind, window.kernel, window.strides, window.pads, window.dilations, include_padding)
    builder.emit(node, op, node.input(0))


def _emit_global(node: OnnxNode, builder: GraphBuilder, kind: str) -> None:
    shape = builder.shape(node)
    require_plane_input(node, shape)
    builder.emit(node, Pool2d(kind, (shape[2], shape[3])), node.input(0))


@handles("ReduceMean", "over height and width of (N, C, H, W) or (N, H, W, C); axes by attribute or input")
def reduce_mean(node: OnnxNode, builder: GraphBuilder) -> None:
    """ReduceMean to an average Pool2d, and a Reshape where the dimensions are not kept."""
    tensor, shape = builder.activation(node), builder.shape(node)
    axes = _mean_axes(node, builder, len(shape))
    reduced = {axis for axis in axes if shape[axis] > 1}  # the mean over one element is that element
    channels_last = 1 in reduced
    if reduced and (len(shape) != 4 or not reduced <= ({1, 2} if channels_last else {2, 3})):
        raise node.unsupported(
            f"it takes the mean of a tensor of shape {shape} over the axes {sorted(axes)}",
            "only the mean over height and width, one of them or both, is supported",
        )
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


def _mean_axes(node: OnnxNode, builder: GraphBuilder, rank: int) -> frozenset[int]:
    """Since operator set 18 an input, before it an attribute; without axes all of them, or none if asked for."""
    given = builder.integers(node, 1) if node.opset >= 18 and node.has_input(1) else node.integers("axes")
    if not given:
        return frozenset() if node.flag("noop_with_empty_axes") else frozenset(range(rank))
    axes = frozenset(axis + rank if axis < 0 else axis for axis in given)
    if len(axes) != len(given) or not all(0 <= axis < rank for axis in axes):
        raise node.malformed(f"axes {list(given)} do not fit a tensor of {rank} dimensions")
    return axes


def _mean_shape(node: OnnxNode, shape: Shape, axes: frozenset[int]) -> Shape:
    if node.integer("keepdims", 1):
        return tuple(1 if axis in axes else size for axis, size in enumerate(shape))
    return tuple(size for axis, size in enumerate(shape) if axis not in axes)
