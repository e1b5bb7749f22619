"""Pools over any number of axes, in any element type, with the places of maxima where they are asked for."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

import numpy as np

from codegen.errors import GraphSpecError
from codegen.onnx_import.registry import handles
from codegen.onnx_import.steps import Steps
from codegen.onnx_import.windows_nd import Windows, list_attribute, read_windows
from codegen.operator import Arrays, Operator, Types, sole_input
from codegen.operators.reduction import Reduce
from codegen.tensor import Doubles, TensorType
from codegen.windows import window_extent

if TYPE_CHECKING:
    from codegen.onnx_import.builder import GraphBuilder
    from codegen.onnx_import.node import OnnxNode

Sizes = tuple[int, ...]


@dataclass(frozen=True)
class PoolNd(Operator):
    """Windows over the axes behind (N, C): "max", "average" or "lp" (of order `order`).

    Elements outside the tensor take no part, but the divisor of a mean counts those in the declared pads where
    `counts_pads`. `places`: a second output of the int64 places of maxima in the whole tensor, in row-major order
    (`places` 1) or with the last two axes swapped (2).

    Fields:
        kind: max, average or lp
        kernel: elements of the window along each axis behind the channels
        strides: elements from one window to the next along each axis
        dilations: elements from one tap to the next along each axis
        begins: elements before the first along each axis
        ends: elements behind the last along each axis
        outputs: sizes of the result behind the channels
        counts_pads: whether the divisor of an average counts padding
        order: of the norm of lp
        places: 0: no second output; 1, 2: places of the maxima, as said above
    """

    kind: str
    kernel: Sizes
    strides: Sizes
    dilations: Sizes
    begins: Sizes
    ends: Sizes
    outputs: Sizes
    counts_pads: bool = False
    order: int = 2
    places: int = 0

    def infer(self, inputs: Types, weights: Types, declared: Types) -> tuple[TensorType, ...]:
        source = sole_input(self, inputs, weights, 0)
        if self.kind not in ("max", "average", "lp") or len(source.shape) != len(self.kernel) + 2:
            raise GraphSpecError(f"PoolNd {self.kind!r} with kernel {self.kernel} of {source.shape}")
        shape = (*source.shape[:2], *self.outputs)
        result = TensorType(shape, source.dtype)
        return (result, TensorType(shape, "int64")) if self.places else (result,)

    def evaluate(self, inputs: Arrays, weights: Arrays, outputs: Types) -> tuple[Doubles, ...]:
        x = inputs[0]
        shape = outputs[0].shape
        start = -np.inf if self.kind == "max" else 0.0
        result, count = np.full(shape, start), np.zeros(self.outputs)
        place = np.zeros(shape)
        own = np.arange(x.size, dtype=np.float64).reshape(x.shape)
        if self.places == 2:
            planes = own.reshape(*x.shape[:2], -1) - np.arange(math.prod(x.shape[2:]))
            swapped = np.arange(math.prod(x.shape[2:])).reshape(*x.shape[2:-2], x.shape[-1], x.shape[-2])
            own = (planes + swapped.swapaxes(-1, -2).reshape(-1)).reshape(x.shape)
        for taps in product(*map(range, self.kernel)):
            at = [
                np.arange(n) * s - b + t * d
                for n, s, b, t, d in zip(
                    self.outputs, self.strides, self.begins, taps, self.dilations, strict=True
                )
            ]
            inside, counted = np.ones(self.outputs, bool), np.ones(self.outputs, bool)
            for axis, index in enumerate(at):
                along = [-1 if other == axis else 1 for other in range(len(at))]
                size = x.shape[2 + axis]
                inside &= ((index >= 0) & (index < size)).reshape(along)
                counted &= (index < size + self.ends[axis]).reshape(along)
            clipped = [np.clip(index, 0, size - 1) for index, size in zip(at, x.shape[2:], strict=True)]
            tap = x[np.ix_(*map(np.arange, x.shape[:2]), *clipped)]
            count += counted if self.counts_pads else inside
            if self.kind == "max":
                better = inside & (tap > result)
                place = np.where(better, own[np.ix_(*map(np.arange, x.shape[:2]), *clipped)], place)
                result = np.where(better, tap, result)
            else:
                value = tap if self.kind == "average" else np.abs(tap) ** self.order
                result += np.where(inside, value, 0.0)
        if self.kind == "average":
            result = result / count
        if self.kind == "lp":
            result = result ** (1.0 / self.order)
        return (result, place) if self.places else (result,)

    def describe(self) -> str:
        return f"PoolNd {self.kind} {'x'.join(map(str, self.kernel))} s{','.join(map(str, self.strides))}"


def emit_pool(node: OnnxNode, builder: GraphBuilder, kind: str) -> None:
    """A pool node as a PoolNd, whatever it asks for."""
    shape = builder.type(node).shape
    kernel = list_attribute(node, "kernel_shape", len(shape) - 2, 0, 1)
    if len(shape) < 3 or min(kernel) < 1:
        raise node.malformed(f"a kernel {list(kernel)} does not fit a tensor of shape {shape}")
    windows = read_windows(node, shape[2:], kernel, ceil=node.flag("ceil_mode"))
    extents = map(window_extent, kernel, windows.dilations)
    if any(max(pads) >= extent for pads, extent in zip(_pairs(windows), extents, strict=True)):
        raise node.unsupported(
            "it has windows that hold nothing but padding",
            "export the model with pads below the window's size",
        )
    wants_places = kind == "max" and len(node.outputs) > 1 and bool(node.outputs[1])
    op = PoolNd(
        kind,
        kernel,
        windows.strides,
        windows.dilations,
        windows.begins,
        windows.ends,
        windows.outputs,
        kind == "average" and node.flag("count_include_pad"),
        _order(node) if kind == "lp" else 2,
        1 + node.integer("storage_order", 0) if wants_places else 0,
    )
    builder.emit(node, op, builder.tensor(node))


def _order(node: OnnxNode) -> int:
    order = node.integer("p", 2)
    if order < 1:
        raise node.malformed(f"attribute p is {order}, which is no norm's order")
    return order


def _pairs(windows: Windows) -> list[tuple[int, int]]:
    return list(zip(windows.begins, windows.ends, strict=True))


def emit_global(node: OnnxNode, builder: GraphBuilder, kind: str) -> None:
    """A pool over all axes behind (N, C)."""
    tensor = builder.tensor(node)
    axes = tuple(range(2, len(builder.shape_of(tensor))))
    builder.emit(node, Reduce(kind, axes, True), tensor)


@handles("LpPool", "all")
def lp_pool(node: OnnxNode, builder: GraphBuilder) -> None:
    """LpPool as a PoolNd."""
    emit_pool(node, builder, "lp")


@handles("GlobalLpPool", "all")
def global_lp_pool(node: OnnxNode, builder: GraphBuilder) -> None:
    """The root of the sum of powers over all axes behind (N, C)."""
    steps, order = Steps(node, builder), _order(node)
    type_ = builder.type(node)
    power = steps("Pow", steps("Abs", node.input(0)), steps.constant(float(order), type_.dtype))
    total = steps("ReduceSum", power, steps.integers(*range(2, len(type_.shape))))
    steps("Pow", total, steps.constant(1.0 / order, type_.dtype), to=node.output)


@handles("MaxUnpool", "all; constant output_shape")
def max_unpool(node: OnnxNode, builder: GraphBuilder) -> None:
    """Zeros with the elements at the places that a MaxPool gave; a larger output has more of them behind each axis."""
    type_ = builder.type(node)
    rank = len(type_.shape) - 2
    kernel = list_attribute(node, "kernel_shape", rank, 0, 1)
    strides, pads = list_attribute(node, "strides", rank, 1, 1), list_attribute(node, "pads", 2 * rank, 0, 0)
    sizes = [
        (size - 1) * strides[axis] + kernel[axis] - pads[axis] - pads[axis + rank]
        for axis, size in enumerate(type_.shape[2:])
    ]
    shape, steps = (*type_.shape[:2], *sizes), Steps(node, builder)
    zeros = steps.constant(np.zeros(math.prod(shape)), type_.dtype)
    flat = [steps("Reshape", node.input(index), steps.integers(-1)) for index in range(2)]
    written = steps("ScatterElements", zeros, flat[1], flat[0])
    wanted = builder.integers(node, 2) if node.has_input(2) else shape
    if len(wanted) != len(shape) or any(more < size for more, size in zip(wanted, shape, strict=True)):
        raise node.malformed(f"an output of shape {wanted} does not hold elements of shape {shape}")
    ends = [more - size for more, size in zip(wanted, shape, strict=True)]
    if not any(ends):
        steps("Reshape", written, steps.integers(*shape), to=node.output)
        return
    filled = steps("Reshape", written, steps.integers(*shape))
    steps("Pad", filled, steps.integers(*(0,) * len(shape), *ends), to=node.output)


@handles("LRN", "all")
def lrn(node: OnnxNode, builder: GraphBuilder) -> None:
    """Each element over a power of the mean square of neighbouring channels."""
    type_, size = builder.type(node), node.integer("size", 1)
    if len(type_.shape) < 2:
        raise node.malformed(f"a tensor of shape {type_.shape} has no channels")
    channels, steps = type_.shape[1], Steps(node, builder)
    square = steps("Mul", node.input(0), node.input(0))
    view = steps("Reshape", square, steps.integers(type_.shape[0], 1, channels, -1))
    before = (size - 1) // 2
    mean = steps(
        "AveragePool",
        view,
        kernel_shape=[size, 1],
        pads=[before, 0, size - 1 - before, 0],
        count_include_pad=1,
    )
    shaped = steps("Reshape", mean, steps.integers(*type_.shape))

    def number(name: str, default: float) -> str:
        return steps.constant(node.real(name, default), type_.dtype)

    scaled = steps("Mul", shaped, number("alpha", 1e-4))
    power = steps("Pow", steps("Add", scaled, number("bias", 1.0)), number("beta", 0.75))
    steps("Div", node.input(0), power, to=node.output)
