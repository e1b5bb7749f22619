"""Convolutions over any number of axes, of weights that may be computed, in any element type."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

import numpy as np

from codegen.errors import GraphSpecError
from codegen.onnx_import.steps import Steps
from codegen.onnx_import.windows_nd import Windows, read_transposed, read_windows
from codegen.operator import Arrays, Operator, Types
from codegen.tensor import Doubles, TensorType

if TYPE_CHECKING:
    from codegen.onnx_import.builder import GraphBuilder
    from codegen.onnx_import.node import OnnxNode

Sizes = tuple[int, ...]


@dataclass(frozen=True)
class ConvNd(Operator):
    """Cross-correlation of (N, C, ...) and weights (out, C / groups, kernel...); `outputs` are the sizes of the result.

    Transposed: weights (C, out / groups, kernel...), each element adds its multiple of the kernel to the result.

    Fields:
        kernel: elements of the window along each axis behind the channels
        strides: elements from one window to the next along each axis
        dilations: elements from one tap to the next along each axis
        begins: elements before the first along each axis
        outputs: sizes of the result behind the channels
        groups: groups of channels; inputs of one reach the outputs of the same alone
        transposed: whether each input adds to the results under the window, in place of the reverse
    """

    kernel: Sizes
    strides: Sizes
    dilations: Sizes
    begins: Sizes
    outputs: Sizes
    groups: int = 1
    transposed: bool = False

    def infer(self, inputs: Types, weights: Types, declared: Types) -> tuple[TensorType, ...]:
        if len(inputs) != 2 or weights or inputs[0].dtype != inputs[1].dtype:
            raise GraphSpecError(f"ConvNd takes 2 inputs of one element type, not {inputs}")
        shape, kernel = inputs[0].shape, inputs[1].shape
        rank = len(self.kernel)
        if len(shape) != rank + 2 or len(kernel) != rank + 2 or kernel[2:] != self.kernel or self.groups < 1:
            raise GraphSpecError(f"ConvNd with kernel {self.kernel} of {shape} and weights {kernel}")
        fits = kernel[0] == shape[1] if self.transposed else kernel[1] * self.groups == shape[1]
        if not fits or kernel[0] % self.groups:
            raise GraphSpecError(f"ConvNd in {self.groups} groups of {shape} and weights {kernel}")
        channels = kernel[1] * self.groups if self.transposed else kernel[0]
        return (TensorType((shape[0], channels, *self.outputs), inputs[0].dtype),)

    def evaluate(self, inputs: Arrays, weights: Arrays, outputs: Types) -> tuple[Doubles, ...]:
        x, w = inputs
        result, groups = np.zeros(outputs[0].shape), self.groups
        few, many = x.shape[1] // groups, result.shape[1] // groups
        for taps, targets, sources in _meetings(self, x.shape[2:]):
            for group in range(groups):
                own = slice(group * few, (group + 1) * few)
                tap: Doubles = w[(slice(None), slice(None), *taps)]  # type: ignore[arg-type]
                matrix = tap[own].T if self.transposed else tap[group * many : (group + 1) * many]
                part = np.einsum("oc,nc...->no...", matrix, x[(slice(None), own, *sources)])
                result[(slice(None), slice(group * many, (group + 1) * many), *targets)] += part
        return (result,)

    def describe(self) -> str:
        kind = "transposed " if self.transposed else ""
        return f"ConvNd {kind}{'x'.join(map(str, self.kernel))} s{','.join(map(str, self.strides))} g{self.groups}"

    def macs(self, inputs: Types, weights: Types, outputs: Types) -> int:
        if self.transposed:
            return inputs[0].elements // inputs[0].shape[1] * inputs[1].elements
        return outputs[0].elements * (inputs[1].elements // inputs[1].shape[0])


Slices = tuple[slice, ...]


def _meetings(op: ConvNd, sizes: Sizes) -> Iterator[tuple[Sizes, Slices, Slices]]:
    """For each tap the outputs and the inputs that meet in it."""
    for taps in product(*map(range, op.kernel)):
        targets, sources = [], []
        for axis, tap in enumerate(taps):
            stride, offset = op.strides[axis], tap * op.dilations[axis] - op.begins[axis]
            # conv: input = output * stride + offset; transposed: output = input * stride + offset
            outer, inner = (sizes, op.outputs) if op.transposed else (op.outputs, sizes)
            first = max(0, -(offset // stride)) if offset < 0 else 0
            count = min(outer[axis], (inner[axis] - 1 - offset) // stride + 1) - first
            count = max(0, count)
            coarse = slice(first, first + count)
            start = first * stride + offset
            fine = slice(start, start + (count - 1) * stride + 1, stride) if count else slice(0, 0)
            targets.append(fine if op.transposed else coarse)
            sources.append(coarse if op.transposed else fine)
        yield taps, tuple(targets), tuple(sources)


def emit_conv(node: OnnxNode, builder: GraphBuilder) -> None:
    """Conv or ConvTranspose of whatever rank and types as a ConvNd, and its bias as a sum."""
    shape, weights = builder.type(node).shape, builder.type(node, 1).shape
    kernel, rank = weights[2:], len(shape) - 2
    if rank < 1 or len(weights) != rank + 2 or (node.integers("kernel_shape") or kernel) != kernel:
        raise node.malformed(f"its weights of shape {weights} do not fit a tensor of shape {shape}")
    transposed = node.op_type == "ConvTranspose"
    windows: Windows = (read_transposed if transposed else read_windows)(node, shape[2:], kernel)
    op = ConvNd(
        kernel,
        windows.strides,
        windows.dilations,
        windows.begins,
        windows.outputs,
        node.integer("group", 1),
        transposed,
    )
    tensors = (builder.tensor(node), builder.tensor(node, 1))
    if not node.has_input(2):
        builder.emit(node, op, tensors)
        return
    steps = Steps(node, builder)
    result = builder.emit(node, op, tensors, step="products")
    bias = steps("Reshape", node.input(2), steps.integers(1, -1, *(1,) * rank))
    steps("Add", result, bias, to=node.output)
