"""Reductions over axes: sums, extremes, norms, places of extremes, running sums, and the largest elements in order."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from codegen.errors import GraphSpecError
from codegen.onnx_import.arithmetic import Arithmetic
from codegen.onnx_import.quantities import Number, Quantity, most
from codegen.onnx_import.registry import OnnxHandler, handles
from codegen.onnx_import.sizes import bounds_of, declare, number_of, sizes_of
from codegen.onnx_import.steps import Steps
from codegen.operator import Arrays, Operator, Types, sole_input
from codegen.operators.reshape import Reshape
from codegen.tensor import Doubles, Shape, TensorType

if TYPE_CHECKING:
    from codegen.onnx_import.builder import GraphBuilder
    from codegen.onnx_import.node import OnnxNode


def _log_sum_exp(x: Any, axis: Any, keepdims: bool) -> Any:
    largest = np.max(x, axis=axis, keepdims=True)
    shift = np.where(np.isfinite(largest), largest, 0.0)
    result = np.log(np.sum(np.exp(x - shift), axis=axis, keepdims=True)) + shift
    return result if keepdims else result.squeeze(axis)


KINDS: Mapping[str, Callable[..., Any]] = {
    "l1": lambda x, **axes: np.sum(np.abs(x), **axes),
    "l2": lambda x, **axes: np.sqrt(np.sum(x * x, **axes)),
    "log_sum": lambda x, **axes: np.log(np.sum(x, **axes)),
    "log_sum_exp": _log_sum_exp,
    "max": np.max,
    "mean": np.mean,
    "min": np.min,
    "prod": np.prod,
    "sum": np.sum,
    "sum_square": lambda x, **axes: np.sum(x * x, **axes),
}


@dataclass(frozen=True)
class Reduce(Operator):
    """A sum, mean, extreme or norm over axes, which stay with size 1 or go.

    Fields:
        kind: l1, l2, log_sum, log_sum_exp, max, mean, min, prod, sum or sum_square
        axes: the axes that are reduced, counted from 0
        keeps: whether these stay, with size 1
    """

    kind: str
    axes: tuple[int, ...]
    keeps: bool

    def infer(self, inputs: Types, weights: Types, declared: Types) -> tuple[TensorType, ...]:
        source = sole_input(self, inputs, weights, 0)
        rank = len(source.shape)
        if self.kind not in KINDS or not set(self.axes) <= set(range(rank)):
            raise GraphSpecError(f"Reduce {self.kind!r} over axes {self.axes} of {source.shape}")
        return (TensorType(_reduced(source.shape, self.axes, self.keeps), source.dtype),)

    def evaluate(self, inputs: Arrays, weights: Arrays, outputs: Types) -> tuple[Doubles, ...]:
        result = KINDS[self.kind](inputs[0], axis=self.axes, keepdims=self.keeps)
        if not outputs[0].element_type.is_floating:
            result = np.trunc(result)
        return (np.asarray(result, dtype=np.float64),)

    def carried(self, axis: int, source: int, inputs: Types, outputs: Types) -> tuple[int | None, ...]:
        return (_axis_behind(axis, self.axes, self.keeps),)

    def filler(self, axis: int, source: int, inputs: Types) -> float | None:
        if axis not in self.axes or self.kind == "mean":
            return None
        if self.kind in ("max", "min", "log_sum_exp"):
            return extreme(inputs[0].dtype, self.kind == "min")
        return 1.0 if self.kind == "prod" else 0.0

    def describe(self) -> str:
        return f"Reduce {self.kind} over {','.join(map(str, self.axes))}"


@dataclass(frozen=True)
class ArgReduce(Operator):
    """The int64 place along an axis of the largest or least element, the first or the last one of equals.

    Fields:
        axis: the axis, counted from 0
        keeps: whether it stays, with size 1
        largest: the largest element, in place of the least
        last: of equals the last, in place of the first
    """

    axis: int
    keeps: bool
    largest: bool
    last: bool = False

    def infer(self, inputs: Types, weights: Types, declared: Types) -> tuple[TensorType, ...]:
        source = sole_input(self, inputs, weights, 0)
        if not 0 <= self.axis < len(source.shape):
            raise GraphSpecError(f"ArgReduce along axis {self.axis} of {source.shape}")
        return (TensorType(_reduced(source.shape, (self.axis,), self.keeps), "int64"),)

    def evaluate(self, inputs: Arrays, weights: Arrays, outputs: Types) -> tuple[Doubles, ...]:
        x = np.flip(inputs[0], self.axis) if self.last else inputs[0]
        place = (np.argmax if self.largest else np.argmin)(x, axis=self.axis)
        if self.last:
            place = x.shape[self.axis] - 1 - place
        return (np.asarray(place, dtype=np.float64).reshape(outputs[0].shape),)

    def carried(self, axis: int, source: int, inputs: Types, outputs: Types) -> tuple[int | None, ...]:
        return (_axis_behind(axis, (self.axis,), self.keeps),)

    def filler(self, axis: int, source: int, inputs: Types) -> float | None:
        return None if axis != self.axis or self.last else extreme(inputs[0].dtype, not self.largest)

    def describe(self) -> str:
        return f"ArgReduce {'max' if self.largest else 'min'} axis {self.axis}"


@dataclass(frozen=True)
class Cumulative(Operator):
    """Running sums or products ("sum", "prod") along an axis, without the element itself where `exclusive`, from
    the end where `reverse`.

    Fields:
        kind: sum or prod
        axis: the axis, counted from 0
        exclusive: whether an element itself is left out
        reverse: whether it begins at the end
    """

    kind: str
    axis: int
    exclusive: bool = False
    reverse: bool = False

    def infer(self, inputs: Types, weights: Types, declared: Types) -> tuple[TensorType, ...]:
        source = sole_input(self, inputs, weights, 0)
        if self.kind not in ("sum", "prod") or not 0 <= self.axis < len(source.shape):
            raise GraphSpecError(f"Cumulative {self.kind!r} along axis {self.axis} of {source.shape}")
        return (source,)

    def evaluate(self, inputs: Arrays, weights: Arrays, outputs: Types) -> tuple[Doubles, ...]:
        x = np.flip(inputs[0], self.axis) if self.reverse else inputs[0]
        result = (np.cumsum if self.kind == "sum" else np.cumprod)(x, axis=self.axis)
        if self.exclusive:
            result = np.roll(result, 1, self.axis)
            first = [slice(None)] * x.ndim
            first[self.axis] = slice(0, 1)
            result[tuple(first)] = 0.0 if self.kind == "sum" else 1.0
        return (np.asarray(np.flip(result, self.axis) if self.reverse else result, dtype=np.float64),)

    def carried(self, axis: int, source: int, inputs: Types, outputs: Types) -> tuple[int | None, ...]:
        return (axis,)

    def filler(self, axis: int, source: int, inputs: Types) -> float | None:
        return float(self.kind == "prod") if axis == self.axis and self.reverse else None

    def describe(self) -> str:
        return f"Cumulative {self.kind} axis {self.axis}"


@dataclass(frozen=True)
class TopK(Operator):
    """The `count` largest or least elements along an axis in order, and their int64 places; of equals the first.

    Fields:
        axis: the axis, counted from 0
        count: how many elements are kept
        largest: the largest elements, in place of the least
    """

    axis: int
    count: int
    largest: bool = True

    def infer(self, inputs: Types, weights: Types, declared: Types) -> tuple[TensorType, ...]:
        source = sole_input(self, inputs, weights, 0)
        if not 0 <= self.axis < len(source.shape) or not 1 <= self.count <= source.shape[self.axis]:
            raise GraphSpecError(f"TopK of {self.count} along axis {self.axis} of {source.shape}")
        shape = (*source.shape[: self.axis], self.count, *source.shape[self.axis + 1 :])
        return TensorType(shape, source.dtype), TensorType(shape, "int64")

    def evaluate(self, inputs: Arrays, weights: Arrays, outputs: Types) -> tuple[Doubles, ...]:
        order = np.argsort(-inputs[0] if self.largest else inputs[0], axis=self.axis, kind="stable")
        places = order.take(np.arange(self.count), axis=self.axis)
        return np.take_along_axis(inputs[0], places, self.axis), places.astype(np.float64)

    def carried(self, axis: int, source: int, inputs: Types, outputs: Types) -> tuple[int | None, ...]:
        return (None if axis == self.axis else axis,) * 2

    def filler(self, axis: int, source: int, inputs: Types) -> float | None:
        return extreme(inputs[0].dtype, not self.largest) if axis == self.axis else None

    def describe(self) -> str:
        return f"TopK {self.count} axis {self.axis}"


@dataclass(frozen=True)
class AlongAxis(Operator):
    """ "log_softmax", "hardmax" (1 at the first largest element, else 0) or "softmax" along an axis.

    Fields:
        kind: log_softmax, hardmax or softmax
        axis: the axis, counted from 0
    """

    kind: str
    axis: int

    def infer(self, inputs: Types, weights: Types, declared: Types) -> tuple[TensorType, ...]:
        source = sole_input(self, inputs, weights, 0)
        known = self.kind in ("softmax", "log_softmax", "hardmax")
        if not known or not 0 <= self.axis < len(source.shape):
            raise GraphSpecError(f"AlongAxis {self.kind!r}, axis {self.axis} of {source.shape}")
        return (source,)

    def evaluate(self, inputs: Arrays, weights: Arrays, outputs: Types) -> tuple[Doubles, ...]:
        x = inputs[0]
        if self.kind == "hardmax":
            place = np.expand_dims(np.argmax(x, axis=self.axis), self.axis)
            result = np.zeros(x.shape)
            np.put_along_axis(result, place, 1.0, self.axis)
            return (result,)
        logarithm = x - _log_sum_exp(x, self.axis, True)
        return (logarithm if self.kind == "log_softmax" else np.exp(logarithm),)

    def carried(self, axis: int, source: int, inputs: Types, outputs: Types) -> tuple[int | None, ...]:
        return (axis,)

    def filler(self, axis: int, source: int, inputs: Types) -> float | None:
        return -np.inf if axis == self.axis and inputs[0].element_type.is_floating else None

    def describe(self) -> str:
        return f"{self.kind} axis {self.axis}"


def extreme(dtype: str, largest: bool) -> float:
    """The largest, or least, number of an element type: of floating ones an infinite one."""
    kind = np.dtype(dtype).kind
    if kind == "f":
        return np.inf if largest else -np.inf
    if kind == "b":
        return float(largest)
    return int(np.iinfo(dtype).max if largest else np.iinfo(dtype).min)


def _reduced(shape: Shape, axes: tuple[int, ...], keeps: bool) -> Shape:
    if keeps:
        return tuple(1 if axis in axes else size for axis, size in enumerate(shape))
    return tuple(size for axis, size in enumerate(shape) if axis not in axes)


def _axis_behind(axis: int, reduced: tuple[int, ...], keeps: bool) -> int | None:
    """Where an axis lies behind a reduction."""
    if axis in reduced:
        return None
    return axis if keeps else axis - sum(other < axis for other in reduced)


AXES_AS_INPUT = {"ReduceSum": 13}  # the others since 18


def reduce_axes(node: OnnxNode, builder: GraphBuilder, rank: int) -> tuple[int, ...]:
    """The axes of a reduction: an input or an attribute; without any all of them, or none if asked for."""
    given = None
    if node.opset < AXES_AS_INPUT.get(node.op_type, 18):
        given = node.integers("axes")
    elif node.has_input(1):
        given = builder.integers(node, 1)
    if not given:
        return () if node.flag("noop_with_empty_axes") else tuple(range(rank))
    axes = tuple(sorted(node.axis(axis, rank) for axis in given))
    if len(set(axes)) != len(axes):
        raise node.malformed(f"axes {list(given)} name one twice")
    return axes


def emit_reduction(node: OnnxNode, builder: GraphBuilder, kind: str) -> None:
    """A Reduce by the node's axes; over no axes what its kind does to single elements."""
    tensor = builder.tensor(node)
    axes = reduce_axes(node, builder, len(builder.shape_of(tensor)))
    length, keeps = builder.length(tensor), node.integer("keepdims", 1)
    if not axes and kind in ("max", "mean", "min", "prod", "sum"):
        builder.emit(node, Reshape(), tensor, shape=builder.shape_of(tensor))
    elif kind == "mean" and length is not None and length.axis in axes:
        _emit_mean(node, builder, tensor, axes, keeps)
    else:
        builder.emit(node, Reduce(kind, axes, bool(keeps)), tensor)


def _emit_mean(node: OnnxNode, builder: GraphBuilder, tensor: str, axes: tuple[int, ...], keeps: int) -> None:
    """The sum over axes of which one has a length, divided by how many elements there are."""
    steps, arithmetic, sizes = Steps(node, builder), Arithmetic(node, builder), sizes_of(builder, tensor)
    count = arithmetic.product(sizes[axis] for axis in axes)
    total = steps("ReduceSum", tensor, steps.integers(*axes), keepdims=keeps)
    divisor = steps.cast(arithmetic.tensor(count), builder.type_of(tensor).dtype)
    steps("Div", total, divisor, to=node.output)


def _handler(op_type: str, kind: str) -> OnnxHandler:
    return OnnxHandler(
        op_type, "over any constant axes", lambda node, builder: emit_reduction(node, builder, kind)
    )


HANDLERS = tuple(
    _handler(op_type, kind)
    for op_type, kind in {
        "ReduceL1": "l1",
        "ReduceL2": "l2",
        "ReduceLogSum": "log_sum",
        "ReduceLogSumExp": "log_sum_exp",
        "ReduceMax": "max",
        "ReduceMin": "min",
        "ReduceProd": "prod",
        "ReduceSum": "sum",
        "ReduceSumSquare": "sum_square",
    }.items()
)


@handles("ArgMax", "all")
def arg_max(node: OnnxNode, builder: GraphBuilder) -> None:
    """ArgMax along one axis."""
    _arg(node, builder, True)


@handles("ArgMin", "all")
def arg_min(node: OnnxNode, builder: GraphBuilder) -> None:
    """ArgMin along one axis."""
    _arg(node, builder, False)


def _arg(node: OnnxNode, builder: GraphBuilder, largest: bool) -> None:
    tensor = builder.tensor(node)
    axis = node.axis(node.integer("axis", 0), len(builder.shape_of(tensor)))
    keeps = bool(node.integer("keepdims", 1))
    builder.emit(node, ArgReduce(axis, keeps, largest, node.flag("select_last_index")), tensor)


@handles("CumSum", "constant axis")
def cum_sum(node: OnnxNode, builder: GraphBuilder) -> None:
    """CumSum along one axis."""
    _cumulative(node, builder, "sum")


@handles("CumProd", "constant axis")
def cum_prod(node: OnnxNode, builder: GraphBuilder) -> None:
    """CumProd along one axis."""
    _cumulative(node, builder, "prod")


def _cumulative(node: OnnxNode, builder: GraphBuilder, kind: str) -> None:
    tensor = builder.tensor(node)
    axis = node.axis(builder.integers(node, 1)[0], len(builder.shape_of(tensor)))
    builder.emit(node, Cumulative(kind, axis, node.flag("exclusive"), node.flag("reverse")), tensor)


@handles("TopK", "all; with a length where k is computed")
def top_k(node: OnnxNode, builder: GraphBuilder) -> None:
    """TopK in order, whether that is asked for or not; of a k that depends on data as many as there may be."""
    tensor = builder.tensor(node)
    axis = node.axis(node.integer("axis", -1), len(builder.shape_of(tensor)))
    sizes = sizes_of(builder, tensor)
    count: Number = node.integer("k", 0)
    if node.opset >= 10:
        count = next(iter(number_of(node, builder, 1)), 0)
    if isinstance(count, Quantity):
        count = Arithmetic(node, builder).smaller(count, sizes[axis])
    outputs = [name or f"{node.name}/unused_{i}" for i, name in enumerate((*node.outputs, "", "")[:2])]
    builder.emit(node, TopK(axis, most(count), bool(node.integer("largest", 1))), tensor, outputs=outputs)
    if isinstance(count, Quantity):
        sizes[axis] = count
        bounds_of(node, sizes)
        for output in outputs:
            declare(builder, output, sizes)


@handles("LogSoftmax", "all")
def log_softmax(node: OnnxNode, builder: GraphBuilder) -> None:
    """LogSoftmax along an axis, before operator set 13 from that axis on."""
    emit_along_axis(node, builder, "log_softmax")


@handles("Hardmax", "all")
def hardmax(node: OnnxNode, builder: GraphBuilder) -> None:
    """Hardmax along an axis, before operator set 13 from that axis on."""
    emit_along_axis(node, builder, "hardmax")


def emit_along_axis(node: OnnxNode, builder: GraphBuilder, kind: str) -> None:
    """An AlongAxis over one axis since operator set 13; before, over all axes from the given one on."""
    tensor = builder.tensor(node)
    shape = builder.shape_of(tensor)
    axis = node.axis(node.integer("axis", -1 if node.opset >= 13 else 1), len(shape))
    if node.opset >= 13 or axis == len(shape) - 1:
        builder.emit(node, AlongAxis(kind, axis), tensor)
        return
    outer = int(np.prod(shape[:axis], dtype=np.int64))
    matrix = builder.emit(
        node, Reshape(), tensor, step="matrix", shape=(outer, -(-int(np.prod(shape)) // outer))
    )
    result = builder.emit(node, AlongAxis(kind, 1), matrix, step="result")
    builder.emit(node, Reshape(), result, shape=shape)
