"""The shape rule of every operator: what the importer infers and the spec check compares with."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import singledispatch

from codegen.errors import GraphSpecError
from codegen.graph import (
    Add,
    BatchNormalization,
    Chain,
    Clamp,
    Concat,
    Conv2d,
    ConvTranspose2d,
    FullyConnected,
    Operator,
    Pad2d,
    Pool2d,
    Relayout,
    Reshape,
    Softmax,
    Transpose,
)

Shape = tuple[int, ...]
Pair = tuple[int, int]
Pads = tuple[int, int, int, int]


def window_extent(kernel: int, dilation: int) -> int:
    """Elements from the first to the last tap of a dilated kernel, both included."""
    return (kernel - 1) * dilation + 1


def window_outputs(size: int, extent: int, stride: int, begin: int, end: int) -> int:
    """How many windows of `extent` elements fit a padded axis; zero or less where none does."""
    return (size + begin + end - extent) // stride + 1


def moves_nothing(permutation: Sequence[int], shape: Shape) -> bool:
    """Whether a transposition leaves row-major order as it is: axes of more than one element keep their order."""
    moved = [axis for axis in permutation if shape[axis] != 1]
    return moved == sorted(moved)


@singledispatch
def infer_shape(op: Operator, inputs: Sequence[Shape], weights: Sequence[Shape], output: Shape) -> Shape:
    """The shape that `op` gives, from the shapes of its inputs and weights.

    `output` is the declared shape, which a Reshape alone takes as it is. A new operator registers its rule.
    Raises GraphSpecError where inputs, weights and parameters do not fit each other.
    """
    raise GraphSpecError(f"no shape rule for operator {type(op).__name__}; register one in codegen.shapes")


def sole_input(op: Operator, inputs: Sequence[Shape], weights: Sequence[Shape], count: int) -> Shape:
    """The shape of the only input; raises GraphSpecError unless there is one input and `count` weights."""
    if len(inputs) != 1 or len(weights) != count:
        raise GraphSpecError(
            f"{type(op).__name__} takes 1 input and {count} weights, not {len(inputs)} and {len(weights)}"
        )
    return inputs[0]


@infer_shape.register
def _conv2d(op: Conv2d, inputs: Sequence[Shape], weights: Sequence[Shape], output: Shape) -> Shape:
    shape = sole_input(op, inputs, weights, 2)
    _require_planes(op, shape)
    kernel, bias = weights
    if len(kernel) != 4:
        raise GraphSpecError(f"Conv2d weights have shape {kernel}, not (out, in / groups, kh, kw)")
    if op.groups < 1 or kernel[0] % op.groups:
        raise GraphSpecError(f"Conv2d has {kernel[0]} output channels in {op.groups} groups")
    if kernel[1] * op.groups != shape[1]:
        raise GraphSpecError(
            f"Conv2d weights {kernel} in {op.groups} groups want {kernel[1] * op.groups} channels, "
            f"not {shape[1]}"
        )
    if kernel[2:] != op.kernel or bias != (kernel[0],):
        raise GraphSpecError(f"Conv2d has kernel {op.kernel}, weights {kernel} and bias {bias}")
    return (shape[0], kernel[0], *_plane_of_windows(op, shape))


@infer_shape.register
def _conv_transpose2d(
    op: ConvTranspose2d, inputs: Sequence[Shape], weights: Sequence[Shape], output: Shape
) -> Shape:
    shape = sole_input(op, inputs, weights, 2)
    _require_planes(op, shape)
    kernel, bias = weights
    if op.groups < 1 or len(kernel) != 4 or kernel[0] % op.groups or kernel[1] * op.groups != shape[1]:
        raise GraphSpecError(
            f"ConvTranspose2d has weights {kernel} in {op.groups} groups for {shape[1]} channels, "
            "not (out, in / groups, kh, kw)"
        )
    if kernel[2:] != op.kernel or bias != (kernel[0],):
        raise GraphSpecError(f"ConvTranspose2d has kernel {op.kernel}, weights {kernel} and bias {bias}")
    if min(*op.kernel, *op.strides, *op.dilations) < 1 or min(*op.pads, *op.output_pads) < 0:
        raise GraphSpecError(f"ConvTranspose2d has a size below 1 or a negative pad: {op}")
    height, width = (
        (shape[2 + axis] - 1) * op.strides[axis]
        + window_extent(op.kernel[axis], op.dilations[axis])
        + op.output_pads[axis]
        - op.pads[axis]
        - op.pads[axis + 2]
        for axis in (0, 1)
    )
    if min(height, width) < 1:
        raise GraphSpecError(f"pads {op.pads} cut off all that {op} gives for {shape}")
    return (shape[0], kernel[0], height, width)


@infer_shape.register
def _pool2d(op: Pool2d, inputs: Sequence[Shape], weights: Sequence[Shape], output: Shape) -> Shape:
    shape = sole_input(op, inputs, weights, 0)
    _require_planes(op, shape)
    if op.kind not in ("max", "average"):
        raise GraphSpecError(f"Pool2d of unknown kind {op.kind!r}; known: average, max")
    plane = _plane_of_windows(op, shape)
    for axis in (0, 1):
        _require_elements(op, axis, shape[2 + axis], plane[axis])
    return (*shape[:2], *plane)


@infer_shape.register
def _fully_connected(
    op: FullyConnected, inputs: Sequence[Shape], weights: Sequence[Shape], output: Shape
) -> Shape:
    shape = sole_input(op, inputs, weights, 2)
    matrix, bias = weights
    if len(shape) != 2 or len(matrix) != 2 or matrix[1] != shape[1] or bias != matrix[:1]:
        raise GraphSpecError(f"FullyConnected has input {shape}, weights {matrix} and bias {bias}")
    return (shape[0], matrix[0])


@infer_shape.register
def _add(op: Add, inputs: Sequence[Shape], weights: Sequence[Shape], output: Shape) -> Shape:
    if len(inputs) != 2 or weights:
        raise GraphSpecError(f"Add takes 2 inputs and no weights, not {len(inputs)} and {len(weights)}")
    if inputs[0] != inputs[1]:
        raise GraphSpecError(f"Add of tensors of shapes {inputs[0]} and {inputs[1]}, which are not equal")
    return inputs[0]


@infer_shape.register
def _concat(op: Concat, inputs: Sequence[Shape], weights: Sequence[Shape], output: Shape) -> Shape:
    if not inputs or weights:
        raise GraphSpecError(
            f"Concat takes at least 1 input and no weights, not {len(inputs)} and {len(weights)}"
        )
    if op.axis != 1:
        raise GraphSpecError(f"Concat along axis {op.axis}, not along the channels (axis 1)")
    if any(len(shape) < 2 for shape in inputs) or len({_without_channels(shape) for shape in inputs}) != 1:
        raise GraphSpecError(f"Concat of tensors of shapes {list(inputs)}, which differ beside the channels")
    return (inputs[0][0], sum(shape[1] for shape in inputs), *inputs[0][2:])


@infer_shape.register
def _pad2d(op: Pad2d, inputs: Sequence[Shape], weights: Sequence[Shape], output: Shape) -> Shape:
    shape = sole_input(op, inputs, weights, 0)
    _require_planes(op, shape)
    if min(op.pads) < 0:
        raise GraphSpecError(f"Pad2d has a negative pad: {op}")
    top, left, bottom, right = op.pads
    return (*shape[:2], top + shape[2] + bottom, left + shape[3] + right)


@infer_shape.register
def _transpose(op: Transpose, inputs: Sequence[Shape], weights: Sequence[Shape], output: Shape) -> Shape:
    shape = sole_input(op, inputs, weights, 0)
    if sorted(op.permutation) != list(range(len(shape))):
        raise GraphSpecError(f"Transpose by {op.permutation} of a tensor of shape {shape}")
    return tuple(shape[axis] for axis in op.permutation)


@infer_shape.register
def _batch_normalization(
    op: BatchNormalization, inputs: Sequence[Shape], weights: Sequence[Shape], output: Shape
) -> Shape:
    shape = sole_input(op, inputs, weights, 4)
    if len(shape) < 2 or any(weight != (shape[1],) for weight in weights):
        raise GraphSpecError(f"BatchNormalization has input {shape} and weights {list(weights)}")
    return shape


@infer_shape.register
def _clamp(op: Clamp, inputs: Sequence[Shape], weights: Sequence[Shape], output: Shape) -> Shape:
    if op.activation.is_identity:
        raise GraphSpecError("Clamp without an end does nothing")
    return sole_input(op, inputs, weights, 0)


@infer_shape.register
def _softmax(op: Softmax, inputs: Sequence[Shape], weights: Sequence[Shape], output: Shape) -> Shape:
    shape = sole_input(op, inputs, weights, 0)
    if not 0 <= op.axis < len(shape):
        raise GraphSpecError(f"Softmax over axis {op.axis} of a tensor of shape {shape}")
    return shape


@infer_shape.register
def _reshape(op: Reshape, inputs: Sequence[Shape], weights: Sequence[Shape], output: Shape) -> Shape:
    shape = sole_input(op, inputs, weights, 0)
    if math.prod(shape) != math.prod(output):
        raise GraphSpecError(f"Reshape from {shape} to {output} changes the number of elements")
    return output


@infer_shape.register
def _relayout(op: Relayout, inputs: Sequence[Shape], weights: Sequence[Shape], output: Shape) -> Shape:
    return sole_input(op, inputs, weights, 0)


def _without_channels(shape: Shape) -> Shape:
    return (*shape[:1], *shape[2:])


def _require_planes(op: Operator, shape: Shape) -> None:
    if len(shape) != 4:
        raise GraphSpecError(f"{type(op).__name__} takes (N, C, H, W), not {shape}")


def _plane_of_windows(op: Conv2d | Pool2d, shape: Shape) -> Pair:
    if min(*op.kernel, *op.strides, *op.dilations) < 1 or min(op.pads) < 0:
        raise GraphSpecError(f"{type(op).__name__} has a size below 1 or a negative pad: {op}")
    extents = [window_extent(op.kernel[axis], op.dilations[axis]) for axis in (0, 1)]
    height, width = (
        window_outputs(shape[2 + axis], extents[axis], op.strides[axis], op.pads[axis], op.pads[axis + 2])
        for axis in (0, 1)
    )
    if min(height, width) < 1:
        raise GraphSpecError(
            f"a window of {extents[0]}x{extents[1]} does not fit a plane of {shape[2]}x{shape[3]} "
            f"padded by {op.pads}"
        )
    return height, width


def _require_elements(op: Pool2d, axis: int, size: int, outputs: int) -> None:
    """Every window must see an element: neither the mean nor the maximum of nothing is defined."""
    begin, dilation = op.pads[axis], op.dilations[axis]
    last_start = (outputs - 1) * op.strides[axis] - begin
    before = begin >= window_extent(op.kernel[axis], dilation) or (begin > 0 and dilation > size)
    if before or last_start >= size:
        raise GraphSpecError(f"Pool2d has windows that hold nothing but padding: {op} over {size} elements")


@infer_shape.register
def _chain(op: Chain, inputs: Sequence[Shape], weights: Sequence[Shape], output: Shape) -> Shape:
    left, result = list(weights), inputs[0]
    for member, sources in zip(op.members, op.sources, strict=True):
        own, left = left[: len(member.weights)], left[len(member.weights) :]
        result = infer_shape(
            member.op, [result if s < 0 else inputs[s] for s in sources], own, member.output.shape
        )
    return result
