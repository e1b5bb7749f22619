"""One line about a layer, for tables and plan files."""

from __future__ import annotations

from functools import singledispatch

from codegen.graph import (
    Activation,
    Chain,
    Clamp,
    Concat,
    Conv2d,
    ConvTranspose2d,
    FullyConnected,
    LayerSpec,
    Operator,
    Pool2d,
    Relayout,
    Softmax,
    Transpose,
)
from codegen.tensor import TensorType


def describe(spec: LayerSpec) -> str:
    """Operator, its parameters, shapes and activation: `Conv2d 3x3 s2 p1 1x3x8x8 -> 1x16x4x4 relu`."""
    shapes = f"{', '.join(map(_shape, spec.inputs))} -> {_shape(spec.output)}"
    activation = _activation(getattr(spec.op, "activation", None))
    return " ".join(part for part in (_operator(spec.op), shapes, activation) if part)


@singledispatch
def _operator(op: Operator) -> str:
    return type(op).__name__


@_operator.register
def _chain(op: Chain) -> str:
    return "Chain of " + ", ".join(_operator(member.op) for member in op.members)


@_operator.register
def _conv2d(op: Conv2d) -> str:
    groups = f"g{op.groups}" if op.groups != 1 else ""
    return " ".join(part for part in ("Conv2d", _window(op), groups) if part)


@_operator.register
def _conv_transpose2d(op: ConvTranspose2d) -> str:
    beyond = f"o{_short(op.output_pads)}" if any(op.output_pads) else ""
    groups = f"g{op.groups}" if op.groups != 1 else ""
    return " ".join(part for part in ("ConvTranspose2d", _window(op), beyond, groups) if part)


@_operator.register
def _pool2d(op: Pool2d) -> str:
    return f"Pool2d {op.kind} {_window(op)}"


@_operator.register
def _fully_connected(op: FullyConnected) -> str:
    return "FullyConnected"


@_operator.register
def _clamp(op: Clamp) -> str:
    return "Clamp"


@_operator.register
def _softmax(op: Softmax) -> str:
    return f"Softmax axis {op.axis}"


@_operator.register
def _concat(op: Concat) -> str:
    return f"Concat axis {op.axis}"


@_operator.register
def _transpose(op: Transpose) -> str:
    return f"Transpose {_short_axes(op.permutation)}"


@_operator.register
def _relayout(op: Relayout) -> str:
    return f"Relayout {op.source} to {op.target}"


def _window(op: Conv2d | ConvTranspose2d | Pool2d) -> str:
    parts = ["x".join(map(str, op.kernel))]
    if op.strides != (1, 1):
        parts.append("s" + _short(op.strides))
    if any(op.pads):
        parts.append("p" + _short(op.pads))
    if op.dilations != (1, 1):
        parts.append("d" + _short(op.dilations))
    return " ".join(parts)


def _short(numbers: tuple[int, ...]) -> str:
    return str(numbers[0]) if len(set(numbers)) == 1 else ",".join(map(str, numbers))


def _short_axes(axes: tuple[int, ...]) -> str:
    return ",".join(map(str, axes))


def _shape(tensor: TensorType) -> str:
    return "x".join(map(str, tensor.shape))


def _activation(activation: Activation | None) -> str:
    if activation is None or activation.is_identity:
        return ""
    if activation.low == 0.0:
        return "relu" if activation.high is None else f"relu{activation.high:g}"
    low = "-inf" if activation.low is None else f"{activation.low:g}"
    high = "inf" if activation.high is None else f"{activation.high:g}"
    return f"clamp {low}..{high}"
