"""Two-dimensional transposed convolution."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from codegen.errors import EmptyTensorError, GraphSpecError
from codegen.expression import RESULT, Expression
from codegen.interval import ANYTHING, Interval
from codegen.onnx_import.registry import handles
from codegen.onnx_import.windows import transposed_window
from codegen.onnx_import.windows_nd import read_transposed
from codegen.operator import Arrays, Epilogued, Types
from codegen.operators.conv2d import is_linear, is_planar, scaled_channels
from codegen.operators.conv_nd import emit_conv
from codegen.operators.reshape import Reshape
from codegen.tensor import Array, Doubles, FloatArray, TensorType
from codegen.windows import (
    NO_PADS,
    Pads,
    Pair,
    require_parameters,
    require_planes,
    short_numbers,
    window_extent,
    window_text,
)

if TYPE_CHECKING:
    from codegen.onnx_import.builder import GraphBuilder
    from codegen.onnx_import.node import OnnxNode


@dataclass(frozen=True)
class ConvTranspose2d(Epilogued):
    """The transpose of a convolution: input (y, x) adds its value times tap (ky, kx) to output (y, x) * stride +
    (ky, kx) * dilation - pads.

    Weights (out, in / groups, kh, kw) and bias (out). `pads` (top, left, bottom, right) cut the result off, behind
    which `output_pads` (bottom, right) add rows and columns that may lie beyond every tap.

    Fields:
        kernel: rows and columns of the window
        strides: elements from one window to the next, by rows and by columns
        pads: rows and columns that are cut off the result: top, left, bottom, right
        dilations: elements from one tap of the window to the next, by rows and by columns
        output_pads: rows and columns that are added to it: bottom, right
        groups: groups of channels; inputs of one reach the outputs of the same alone
        epilogue: what is done to each element of the result, which is operand 0; operand 1 is a further input
    """

    kernel: Pair
    strides: Pair = (1, 1)
    pads: Pads = NO_PADS
    output_pads: Pair = (0, 0)
    dilations: Pair = (1, 1)
    groups: int = 1
    epilogue: Expression = RESULT

    def infer(self, inputs: Types, weights: Types, declared: Types) -> tuple[TensorType, ...]:
        source = self.sole(inputs, weights, 2)
        shape, kernel, bias = source.shape, weights[0].shape, weights[1].shape
        require_planes(self, shape)
        fits = self.groups >= 1 and len(kernel) == 4 and not kernel[0] % self.groups
        if not fits or kernel[1] * self.groups != shape[1]:
            raise GraphSpecError(
                f"ConvTranspose2d has weights {kernel} in {self.groups} groups for {shape[1]} channels, "
                "not (out, in / groups, kh, kw)"
            )
        if kernel[2:] != self.kernel or bias != (kernel[0],):
            raise GraphSpecError(
                f"ConvTranspose2d has kernel {self.kernel}, weights {kernel} and bias {bias}"
            )
        require_parameters(self)
        if min(self.output_pads) < 0:
            raise GraphSpecError(f"ConvTranspose2d has a size below 1 or a negative pad: {self}")
        height, width = (
            (shape[2 + axis] - 1) * self.strides[axis]
            + window_extent(self.kernel[axis], self.dilations[axis])
            + self.output_pads[axis]
            - self.pads[axis]
            - self.pads[axis + 2]
            for axis in (0, 1)
        )
        if min(height, width) < 1:
            raise EmptyTensorError(f"pads {self.pads} cut off all that it gives for {shape}")
        return self.result(inputs, replace(source, shape=(shape[0], kernel[0], height, width)))

    def evaluate(self, inputs: Arrays, weights: Arrays, outputs: Types) -> tuple[Doubles, ...]:
        kernel, bias = weights
        batch, channels, height, width = outputs[0].shape
        rows, columns = inputs[0].shape[2:]
        pixels = inputs[0].reshape(batch, self.groups, -1, rows * columns)
        matrix = kernel.reshape(self.groups, channels // self.groups, -1, *self.kernel)
        above, left_pad, below, right_pad = self.pads
        whole = np.zeros((batch, channels, height + above + below, width + left_pad + right_pad))
        for row in range(self.kernel[0]):
            for column in range(self.kernel[1]):
                products = matrix[..., row, column] @ pixels
                top, left = row * self.dilations[0], column * self.dilations[1]
                bottom = top + (rows - 1) * self.strides[0] + 1
                right = left + (columns - 1) * self.strides[1] + 1
                met = whole[:, :, top : bottom : self.strides[0], left : right : self.strides[1]]
                met += products.reshape(met.shape)
        return self.finish(
            whole[:, :, above:, left_pad:][:, :, :height, :width] + bias[:, None, None], inputs
        )

    def describe(self) -> str:
        beyond = f"o{short_numbers(self.output_pads)}" if any(self.output_pads) else ""
        groups = f"g{self.groups}" if self.groups != 1 else ""
        return " ".join(part for part in ("ConvTranspose2d", window_text(self), beyond, groups) if part)

    def macs(self, inputs: Types, weights: Types, outputs: Types) -> int:
        return inputs[0].elements // inputs[0].shape[1] * weights[0].elements

    def scaled(
        self, weights: Sequence[Array], factor: Doubles, offset: Doubles
    ) -> tuple[Doubles, ...] | None:
        return scaled_channels(weights, factor, offset) if self.epilogue == RESULT else None

    def range(self, inputs: Sequence[Interval]) -> Interval:
        return self.epilogue.interval((ANYTHING, *inputs[1:]))


@handles(
    "ConvTranspose", "all; in one and two dimensions of float32 with constant weights as ConvTranspose2d"
)
def conv_transpose(node: OnnxNode, builder: GraphBuilder) -> None:
    """ConvTranspose to ConvTranspose2d, always with a bias, where it is one or has one dimension less; else to a
    ConvNd.
    """
    if is_linear(node, builder):
        _emit_on_lines(node, builder)
        return
    if not is_planar(node, builder):
        emit_conv(node, builder)
        return
    shape = builder.shape(node)
    weights = _weights(node, builder, 4)
    height, width = weights["weight"].shape[2:]
    window, output_pads = transposed_window(node, (shape[2], shape[3]), (height, width))
    groups = node.integer("group", 1)
    op = ConvTranspose2d(window.kernel, window.strides, window.pads, output_pads, window.dilations, groups)
    builder.emit(node, op, node.input(0), weights)


def _emit_on_lines(node: OnnxNode, builder: GraphBuilder) -> None:
    """A ConvTranspose over (N, C, L) as one over planes of a single row, between Reshapes."""
    samples, channels, length = builder.shape(node)
    weights = _weights(node, builder, 3)
    kernel = weights["weight"].shape[2:]
    if (node.integers("kernel_shape") or kernel) != kernel:
        raise node.malformed(f"attribute kernel_shape is not that of its weights, {kernel}")
    window = read_transposed(node, (length,), kernel)
    (taps,), (stride,), (dilation,), (size,) = window.kernel, window.strides, window.dilations, window.outputs
    begin, end = window.begins[0], window.ends[0]
    reached = (length - 1) * stride + window_extent(taps, dilation) - begin - end
    op = ConvTranspose2d(
        (1, taps),
        (1, stride),
        (0, begin, 0, end),
        (0, size - reached),
        (1, dilation),
        node.integer("group", 1),
    )
    row = (samples, channels, 1, length)
    rows = builder.emit(node, Reshape(), builder.activation(node), step="rows", shape=row)
    on_plane = {"weight": weights["weight"][:, :, None], "bias": weights["bias"]}
    result = builder.emit(node, op, rows, on_plane, step="plane")
    builder.emit(node, Reshape(), result, shape=(samples, weights["bias"].size, size))


def _weights(node: OnnxNode, builder: GraphBuilder, rank: int) -> dict[str, FloatArray]:
    """Weights (out, in / groups, ...) and bias; ONNX has (in, out / groups, ...)."""
    weight, groups = builder.weight(node, 1), node.integer("group", 1)
    if weight.ndim != rank or groups < 1 or weight.shape[0] % groups:
        raise node.malformed(f"its weights have shape {weight.shape}, not (in, out / group, kh, kw)")
    inputs, per_group, *kernel = weight.shape
    grouped = weight.reshape(groups, inputs // groups, per_group, *kernel).swapaxes(1, 2)
    weight = np.ascontiguousarray(grouped).reshape(groups * per_group, inputs // groups, *kernel)
    return {"weight": weight, "bias": builder.bias(node, 2, weight.shape[0])}
