"""Two-dimensional convolution."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, Self

import numpy as np

from codegen.element_type import FLOAT32
from codegen.errors import GraphSpecError
from codegen.expression import RESULT, Expression
from codegen.interval import ANYTHING, Interval
from codegen.onnx_import.registry import handles
from codegen.onnx_import.windows import read_window
from codegen.onnx_import.windows_nd import read_windows
from codegen.operator import Arrays, Epilogued, Types
from codegen.operators.conv_nd import emit_conv
from codegen.operators.integer_layers import emit_conv as integer_conv
from codegen.operators.integer_layers import real_layer
from codegen.operators.reshape import Reshape
from codegen.tensor import Array, Doubles, TensorType
from codegen.windows import (
    NO_PADS,
    Pads,
    Pair,
    padded,
    plane_of_windows,
    require_planes,
    summed,
    taps,
    window_text,
)

if TYPE_CHECKING:
    from codegen.onnx_import.builder import GraphBuilder
    from codegen.onnx_import.node import OnnxNode


@dataclass(frozen=True)
class Conv2d(Epilogued):
    """Cross-correlation; weights (out, in / groups, kh, kw) and bias (out). Pads: top, left, bottom, right.

    Fields:
        kernel: rows and columns of the window
        strides: elements from one window to the next, by rows and by columns
        pads: elements beside the plane: top, left, bottom, right
        dilations: elements from one tap of the window to the next, by rows and by columns
        groups: groups of channels; inputs of one reach the outputs of the same alone
        epilogue: what is done to each element of the result, which is operand 0; operand 1 is a further input
    """

    kernel: Pair
    strides: Pair = (1, 1)
    pads: Pads = NO_PADS
    dilations: Pair = (1, 1)
    groups: int = 1
    epilogue: Expression = RESULT

    def infer(self, inputs: Types, weights: Types, declared: Types) -> tuple[TensorType, ...]:
        source = self.sole(inputs, weights, 2)
        shape, kernel, bias = source.shape, weights[0].shape, weights[1].shape
        require_planes(self, shape)
        if len(kernel) != 4:
            raise GraphSpecError(f"Conv2d weights have shape {kernel}, not (out, in / groups, kh, kw)")
        if self.groups < 1 or kernel[0] % self.groups:
            raise GraphSpecError(f"Conv2d has {kernel[0]} output channels in {self.groups} groups")
        if kernel[1] * self.groups != shape[1]:
            raise GraphSpecError(
                f"Conv2d weights {kernel} in {self.groups} groups want {kernel[1] * self.groups} channels, "
                f"not {shape[1]}"
            )
        if kernel[2:] != self.kernel or bias != (kernel[0],):
            raise GraphSpecError(f"Conv2d has kernel {self.kernel}, weights {kernel} and bias {bias}")
        return self.result(
            inputs, replace(source, shape=(shape[0], kernel[0], *plane_of_windows(self, shape)))
        )

    def evaluate(self, inputs: Arrays, weights: Arrays, outputs: Types) -> tuple[Doubles, ...]:
        kernel, bias = weights
        batch, channels, height, width = outputs[0].shape
        depth = kernel.shape[1]
        grouped_kernel = kernel.reshape(self.groups, channels // self.groups, depth, *self.kernel)
        total = np.zeros((batch, self.groups, channels // self.groups, height * width))
        for row, column, tap in taps(padded(inputs[0], self.pads, 0.0), self, (height, width)):
            pixels = tap.reshape(batch, self.groups, depth, height * width)
            matrix = grouped_kernel[..., row, column]
            total += matrix * pixels if depth == 1 else matrix @ pixels
        return self.finish(total.reshape(outputs[0].shape) + bias[:, None, None], inputs)

    def describe(self) -> str:
        groups = f"g{self.groups}" if self.groups != 1 else ""
        return " ".join(part for part in ("Conv2d", window_text(self), groups) if part)

    def macs(self, inputs: Types, weights: Types, outputs: Types) -> int:
        return outputs[0].elements * (weights[0].elements // weights[0].shape[0])

    def scaled(
        self, weights: Sequence[Array], factor: Doubles, offset: Doubles
    ) -> tuple[Doubles, ...] | None:
        return scaled_channels(weights, factor, offset) if self.epilogue == RESULT else None

    def padded_by(self, pads: Pads, input_range: Interval) -> Self:
        return replace(self, pads=summed(self.pads, pads))

    @property
    def skips_zeros(self) -> bool:
        return self.groups == 1

    @property
    def chain_part(self) -> Literal["window"] | None:
        return "window" if self.epilogue.arity <= 1 else None

    def range(self, inputs: Sequence[Interval]) -> Interval:
        return self.epilogue.interval((ANYTHING, *inputs[1:]))


def is_planar(node: OnnxNode, builder: GraphBuilder) -> bool:
    """Whether a convolution is one over (N, C, H, W) of float32 with constant weights and no pads below 0."""
    return _is_layer(node, builder, 4)


def is_linear(node: OnnxNode, builder: GraphBuilder) -> bool:
    """The same over (N, C, L)."""
    return _is_layer(node, builder, 3)


def _is_layer(node: OnnxNode, builder: GraphBuilder, rank: int) -> bool:
    if builder.is_constant(node.input(0)):
        return False
    constants = [index for index in (1, 2) if node.has_input(index)]
    source = builder.type(node)
    if len(source.shape) != rank or source.dtype != FLOAT32.name:
        return False
    return all(builder.is_constant(node.input(index)) for index in constants)


def scaled_channels(weights: Sequence[Array], factor: Doubles, offset: Doubles) -> tuple[Doubles, ...]:
    """Weights (out, ...) and bias (out) that give `result * factor + offset` for each output channel."""
    weight, bias = (np.asarray(value, dtype=np.float64) for value in weights)
    return weight * factor.reshape(-1, *(1,) * (weight.ndim - 1)), bias * factor + offset


def _emit_on_lines(node: OnnxNode, builder: GraphBuilder) -> None:
    """A Conv over (N, C, L) as one over planes of a single row, between Reshapes."""
    samples, channels, length = builder.shape(node)
    weight = builder.weight(node, 1)
    kernel = weight.shape[2:]
    if weight.ndim != 3 or (node.integers("kernel_shape") or kernel) != kernel:
        raise node.malformed(f"its weights of shape {weight.shape} do not fit (N, C, L)")
    window = read_windows(node, (length,), kernel)
    (taps,), (stride,), (dilation,) = window.kernel, window.strides, window.dilations
    pads = (0, window.begins[0], 0, window.ends[0])
    op = Conv2d((1, taps), (1, stride), pads, (1, dilation), node.integer("group", 1))
    weights = {"weight": weight[:, :, None], "bias": builder.bias(node, 2, weight.shape[0])}
    row = (samples, channels, 1, length)
    rows = builder.emit(node, Reshape(), builder.activation(node), step="rows", shape=row)
    result = builder.emit(node, op, rows, weights, step="plane")
    builder.emit(node, Reshape(), result, shape=(samples, weight.shape[0], *window.outputs))


@handles("Conv", "all; in one and two dimensions of float32 with constant weights as Conv2d")
def conv(node: OnnxNode, builder: GraphBuilder) -> None:
    """Conv to Conv2d, always with a bias, where it is one or has one dimension less; else to a ConvNd. Of integers with
    a scale the sums are of integers.
    """
    integers = real_layer(node, builder)
    if integers is not None and integer_conv(node, builder, integers):
        return
    if is_linear(node, builder):
        _emit_on_lines(node, builder)
        return
    if not is_planar(node, builder):
        emit_conv(node, builder)
        return
    shape = builder.shape(node)
    weight = builder.weight(node, 1)
    if weight.ndim != 4:
        raise node.malformed(f"its weights have shape {weight.shape}, not (out, in / group, kh, kw)")
    plane, kernel = (shape[2], shape[3]), (weight.shape[2], weight.shape[3])
    if node.pair("kernel_shape", kernel) != kernel:
        raise node.malformed(f"attribute kernel_shape is not that of its weights {weight.shape}")
    window = read_window(node, plane, kernel)
    groups = node.integer("group", 1)
    op = Conv2d(window.kernel, window.strides, window.pads, window.dilations, groups)
    builder.emit(node, op, node.input(0), {"weight": weight, "bias": builder.bias(node, 2, weight.shape[0])})
