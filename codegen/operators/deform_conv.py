"""Convolution whose taps are moved, each by a distance that another tensor gives: DeformConv."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from codegen.errors import GraphSpecError
from codegen.onnx_import.registry import handles
from codegen.onnx_import.windows_nd import list_attribute
from codegen.operator import Arrays, Operator, Pads, Types
from codegen.tensor import Doubles, TensorType

if TYPE_CHECKING:
    from codegen.onnx_import.builder import GraphBuilder
    from codegen.onnx_import.node import OnnxNode

Pair = tuple[int, int]


@dataclass(frozen=True)
class DeformConv(Operator):
    """A convolution of (N, C, H, W) by (M, C / groups, kernel) whose taps lie where the third input
    (N, offset_groups x taps x (y, x), output's plane) moves them, between pixels too; behind it stand, where
    `has_bias` and `has_mask` say so, a bias (M) and factors (N, offset_groups x taps, output's plane).

    Fields:
        strides: elements from one window to the next, by rows and by columns
        pads: elements beside the plane: top, left, bottom, right
        dilations: elements from one tap of the window to the next, by rows and by columns
        groups: groups of channels; inputs of one reach the outputs of the same alone
        offset_groups: groups of input channels with offsets of their own
        has_bias: whether there is a bias among the inputs
        has_mask: whether there are factors among the inputs
    """

    strides: Pair
    pads: Pads  # top, left, bottom, right
    dilations: Pair
    groups: int
    offset_groups: int
    has_bias: bool
    has_mask: bool

    def infer(self, inputs: Types, weights: Types, declared: Types) -> tuple[TensorType, ...]:
        if len(inputs) != 3 + self.has_bias + self.has_mask or weights or len({t.dtype for t in inputs}) != 1:
            raise GraphSpecError(f"DeformConv of {inputs} and {len(weights)} weights")
        source, kernel, offsets = (tensor.shape for tensor in inputs[:3])
        if len(source) != 4 or len(kernel) != 4 or not inputs[0].element_type.is_floating:
            raise GraphSpecError(f"DeformConv of {inputs[0].dtype} {source} by {kernel}")
        taps = self.offset_groups * math.prod(kernel[2:])
        extents = [(size - 1) * step + 1 for size, step in zip(kernel[2:], self.dilations, strict=True)]
        plane = tuple(
            (source[2 + axis] + self.pads[axis] + self.pads[axis + 2] - extents[axis]) // self.strides[axis]
            + 1
            for axis in (0, 1)
        )
        fits = (
            source[1] == kernel[1] * self.groups
            and kernel[0] % self.groups == 0
            and source[1] % self.offset_groups == 0
            and offsets == (source[0], 2 * taps, *plane)
            and (not self.has_bias or inputs[3].shape == kernel[:1])
            and (not self.has_mask or inputs[-1].shape == (source[0], taps, *plane))
        )
        if not fits:
            raise GraphSpecError(f"DeformConv of tensors of shapes {[tensor.shape for tensor in inputs]}")
        return (TensorType((source[0], kernel[0], *plane), inputs[0].dtype),)

    def evaluate(self, inputs: Arrays, weights: Arrays, outputs: Types) -> tuple[Doubles, ...]:
        source, kernel, offsets = inputs[:3]
        batch, many, rows, columns = outputs[0].shape
        channels, (high, wide) = source.shape[1], kernel.shape[2:]
        moved = offsets.reshape(batch, self.offset_groups, high * wide, 2, rows, columns)
        mask = np.ones((batch, self.offset_groups, high * wide, rows, columns))
        if self.has_mask:
            mask = inputs[-1].reshape(mask.shape)
        of_channel = np.arange(channels) // (channels // self.offset_groups)
        result = np.zeros(outputs[0].shape)
        if self.has_bias:
            result += inputs[3].reshape(1, -1, 1, 1)
        few, each = kernel.shape[1], many // self.groups
        for tap in range(high * wide):
            y = np.arange(rows)[:, None] * self.strides[0] - self.pads[0] + tap // wide * self.dilations[0]
            x = np.arange(columns) * self.strides[1] - self.pads[1] + tap % wide * self.dilations[1]
            read = _between(source, y + moved[:, of_channel, tap, 0], x + moved[:, of_channel, tap, 1])
            read = read * mask[:, of_channel, tap]
            for group in range(self.groups):
                part = read[:, group * few : (group + 1) * few]
                own = slice(group * each, (group + 1) * each)
                result[:, own] += np.einsum("ncij,mc->nmij", part, kernel[own, :, tap // wide, tap % wide])
        return (result,)

    def macs(self, inputs: Types, weights: Types, outputs: Types) -> int:
        return outputs[0].elements * math.prod(inputs[1].shape[1:])


def _between(source: Doubles, y: Doubles, x: Doubles) -> Doubles:
    """A tensor (N, C, H, W) at places (N, C, i, j), interpolated between four pixels; 0 outside."""
    height, width = source.shape[2:]
    image = np.arange(source.shape[0]).reshape(-1, 1, 1, 1)
    channel = np.arange(source.shape[1]).reshape(-1, 1, 1)
    total = np.zeros(y.shape)
    for dy in (0, 1):
        for dx in (0, 1):
            py, px = np.floor(y) + dy, np.floor(x) + dx
            weight = (1 - np.abs(y - py)) * (1 - np.abs(x - px))
            is_inside = (py >= 0) & (py < height) & (px >= 0) & (px < width)
            row, column = (np.where(is_inside, p, 0).astype(np.int64) for p in (py, px))
            total += np.where(is_inside, weight, 0.0) * source[image, channel, row, column]
    return total


@handles("DeformConv", "in two dimensions")
def deform_conv(node: OnnxNode, builder: GraphBuilder) -> None:
    """DeformConv with its bias and mask, where there are any."""
    names = [index for index in range(5) if index < 3 or node.has_input(index)]
    tensors = [builder.tensor(node, index) for index in names]
    if len(builder.shape_of(tensors[0])) != 4:
        raise node.unsupported("it is not in two dimensions", "export the model with images")
    strides, dilations = (list_attribute(node, name, 2, 1, 1) for name in ("strides", "dilations"))
    top, left, bottom, right = list_attribute(node, "pads", 4, 0, 0)
    op = DeformConv(
        (strides[0], strides[1]),
        (top, left, bottom, right),
        (dilations[0], dilations[1]),
        node.integer("group", 1),
        node.integer("offset_group", 1),
        node.has_input(3),
        node.has_input(4),
    )
    if min(op.groups, op.offset_groups) < 1:
        raise node.malformed(f"it has {op.groups} groups and {op.offset_groups} groups of offsets")
    builder.emit(node, op, tensors)
