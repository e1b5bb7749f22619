"""Numbers as integers with a scale and a zero point: conversions, and products that are exact in int32."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from onnx import TensorProto

from codegen.element_type import FLOAT32, element_type
from codegen.expression import RESULT, Operand
from codegen.onnx_import.dequantized import dequantized
from codegen.onnx_import.registry import handles
from codegen.onnx_import.steps import Steps
from codegen.operators.integer_layers import (
    IntegerLayer,
    centred,
    emit_conv,
    emit_product,
    is_known,
    of_outputs,
)
from codegen.operators.quantized_conv2d import BYTES
from codegen.operators.typed_map import TypedMap
from codegen.requantization import Dequantization, requantized

if TYPE_CHECKING:
    from codegen.onnx_import.builder import GraphBuilder
    from codegen.onnx_import.node import OnnxNode


def _along(node: OnnxNode, steps: Steps, tensor: str, parameter: str) -> str:
    """A scale or zero point as it broadcasts to a tensor: one for all, one for each index of an axis, or one for each
    block along it.
    """
    shape, own = steps.shape(tensor), steps.shape(parameter)
    if int(np.prod(own)) == 1:
        return steps("Reshape", parameter, steps.integers())
    axis = node.axis(node.integer("axis", 1), len(shape))
    if len(own) == 1:
        sizes = [own[0] if other == axis else 1 for other in range(len(shape))]
        return steps("Reshape", parameter, steps.integers(*sizes))
    if len(own) != len(shape):
        raise node.malformed(f"a parameter of shape {own} for a tensor of shape {shape}")
    block = node.integer("block_size", 0) or -(-shape[axis] // own[axis])
    places = steps.constant(np.arange(shape[axis]) // block, "int64")
    return steps("Gather", parameter, places, axis=axis)


def _quantized(node: OnnxNode, steps: Steps, real: str, zero: str, dtype: str, to: str) -> str:
    """Rounded to the nearest even, moved by the zero point, and saturated."""
    if not np.issubdtype(element_type(dtype).dtype, np.integer):
        raise node.unsupported(f"it gives {dtype}", "quantise to integers")
    limits = np.iinfo(dtype)
    computed = steps.type(real).dtype
    if computed == "float16":  # whose whole numbers end at 2048
        real, computed = steps.cast(real, "float32"), "float32"
    whole = steps("Add", steps("Round", real), steps.cast(zero, computed))
    low, high = (steps.constant(float(end), computed) for end in (limits.min, limits.max))
    return steps.cast(steps("Min", steps("Max", whole, low), high), dtype, to=to)


def _emit_quantized(node: OnnxNode, builder: GraphBuilder) -> bool:
    """To 8 bits by one constant scale, in float32, as one map; False: it is another quantisation."""
    constants = [node.input(1), *([node.input(2)] if node.has_input(2) else [])]
    if not is_known(builder, constants) or builder.is_constant(node.input(0)):
        return False
    if any(builder.value(name).size != 1 for name in constants):
        return False
    dtype = node.element_type("output_dtype", TensorProto.UINT8)
    zero = 0
    if node.has_input(2):
        dtype, zero = builder.type(node, 2).dtype, int(builder.constant(node, 2).reshape(-1)[0])
    scale = builder.constant(node, 1)
    if {builder.type(node).dtype, scale.dtype.name} != {FLOAT32.name} or dtype not in BYTES:
        return False
    quotient = Operand(0) / float(scale.reshape(-1)[0])
    op = TypedMap(requantized(quotient, zero, dtype), "float32", dtype)
    builder.emit(node, op, builder.activation(node))
    return True


@handles(
    "QuantizeLinear", "to integers of 8 to 32 bits; scales for all, for each index of an axis, in blocks"
)
def quantize_linear(node: OnnxNode, builder: GraphBuilder) -> None:
    """The quotient by the scale, rounded, moved and saturated."""
    if _emit_quantized(node, builder):
        return
    steps, x = Steps(node, builder), node.input(0)
    if node.has_input(2):
        dtype = builder.type(node, 2).dtype
        zero = _along(node, steps, x, node.input(2))
    else:
        dtype = node.element_type("output_dtype", TensorProto.UINT8)
        zero = steps.constant(0, dtype)
    scale = _along(node, steps, x, node.input(1))
    source, of = builder.type(node).dtype, builder.type(node, 1).dtype
    if source != of:
        x, scale = steps.cast(x, "float32"), steps.cast(scale, "float32")
    _quantized(node, steps, steps("Div", x, scale), zero, dtype, node.output)


@handles(
    "DequantizeLinear",
    "from integers of 8 to 32 bits, constant ones of 4; scales for all, for each index of an axis, in blocks",
)
def dequantize_linear(node: OnnxNode, builder: GraphBuilder) -> None:
    """The distance from the zero point times the scale."""
    if node.element_type("output_dtype", TensorProto.FLOAT) != builder.type(node, 1).dtype and node.flag(
        "output_dtype"
    ):
        raise node.unsupported("it gives another type than that of its scale", "export the model without it")
    origin = dequantized(node, builder)
    if origin is not None:
        builder.dequantized[node.output] = origin
        if origin.of_all and builder.type(node).dtype in BYTES and origin.zero.size == 1:
            distance = Dequantization(int(origin.zero[0]), float(origin.scale[0])).expression
            builder.emit(node, TypedMap(distance, "float32", "float32"), builder.activation(node))
            return
    steps, x = Steps(node, builder), node.input(0)
    scale = _along(node, steps, x, node.input(1))
    dtype = builder.type(node, 1).dtype
    whole = steps.cast(x, "int32")
    if node.has_input(2):
        whole = steps("Sub", whole, steps.cast(_along(node, steps, x, node.input(2)), "int32"))
    real = steps("Mul", steps.cast(whole, "float32"), steps.cast(scale, "float32"))
    steps.cast(real, dtype, to=node.output)


def _distance(steps: Steps, tensor: str, zero: str, shape: tuple[int, ...] = ()) -> str:
    """An integer tensor less its zero point, in int32."""
    whole = steps.cast(tensor, "int32")
    if not zero:
        return whole
    point = steps.cast(zero, "int32")
    if int(np.prod(steps.shape(zero))) == 1:
        point = steps("Reshape", point, steps.integers())
    elif shape:
        point = steps("Reshape", point, steps.integers(*shape))
    return steps("Sub", whole, point)


def _optional(node: OnnxNode, index: int) -> str:
    return node.inputs[index] if node.has_input(index) else ""


def _rows(steps: Steps, zero: str) -> tuple[int, ...]:
    """Zero points of the rows of the first matrix stand beside its columns."""
    own = steps.shape(zero) if zero else ()
    return (*own, 1) if len(own) == 1 and own[0] > 1 else ()


def _integer_layer(
    node: OnnxNode, builder: GraphBuilder, weights: int, zeros: tuple[int, int], *, is_product: bool = False
) -> IntegerLayer | None:
    """Inputs by number as a layer whose sums are the result; None: it is no layer by constant weights that int8 has."""
    known = [weights, *(index for index in zeros if node.has_input(index))]
    if not is_known(builder, [node.input(index) for index in known]) or builder.is_constant(node.input(0)):
        return None
    matrix = builder.constant(node, weights)
    points = [
        builder.constant(node, index) if node.has_input(index) else np.zeros(1, dtype=np.int32)
        for index in zeros
    ]
    if builder.type(node).dtype not in BYTES or matrix.dtype.name not in BYTES or points[0].size != 1:
        return None
    if is_product:
        if matrix.ndim != 2 or points[1].ndim > 1:
            return None
        matrix = matrix.T
    values = centred(matrix, points[1])
    if values is None:
        return None
    bias, factor = np.zeros(len(values), dtype=np.int32), np.ones(len(values), dtype=np.float32)
    zero = int(points[0].reshape(-1)[0])
    return IntegerLayer(builder.activation(node), zero, values, bias, factor, dtype="int32")


def _requantized_layer(
    node: OnnxNode, builder: GraphBuilder, *, is_product: bool = False
) -> IntegerLayer | None:
    """A QLinearConv or QLinearMatMul as a layer; None: see `_integer_layer`."""
    layer = _integer_layer(node, builder, 3, (2, 5), is_product=is_product)
    others = [node.input(index) for index in (1, 4, 6, 7)] + ([node.input(8)] if node.has_input(8) else [])
    if layer is None or not is_known(builder, others):
        return None
    first, second, third, zero = (builder.constant(node, index) for index in (1, 4, 6, 7))
    outputs = len(layer.bias)
    if {first.size, third.size, zero.size} != {1} or second.ndim > 1 or zero.dtype.name not in BYTES:
        return None
    product = first.astype(np.float32).reshape(-1) * second.astype(np.float32).reshape(-1)
    factor = of_outputs(product / third.astype(np.float32).reshape(-1), outputs, "float32")
    if factor is None:
        return None
    bias = builder.constant(node, 8).astype(np.int32) if node.has_input(8) else layer.bias
    point = int(
        zero.reshape(-1)[0]
    )  # ONNX's reference adds it before it rounds: of ties that of an odd one matters
    epilogue = requantized(RESULT + float(point) if point else RESULT, 0, zero.dtype.name)
    return replace(
        layer, bias=bias, factor=factor.astype(np.float32), epilogue=epilogue, dtype=zero.dtype.name
    )


@handles("MatMulInteger", "all")
def mat_mul_integer(node: OnnxNode, builder: GraphBuilder) -> None:
    """The product of distances from the zero points, in int32."""
    layer = _integer_layer(node, builder, 1, (2, 3), is_product=True)
    if layer is not None:
        emit_product(node, builder, layer)
        return
    steps = Steps(node, builder)
    zeros = [_optional(node, index) for index in (2, 3)]
    first = _distance(steps, node.input(0), zeros[0], _rows(steps, zeros[0]))
    second = _distance(steps, node.input(1), zeros[1])
    steps("MatMul", first, second, to=node.output)


@handles("ConvInteger", "all")
def conv_integer(node: OnnxNode, builder: GraphBuilder) -> None:
    """The convolution of distances from the zero points, in int32."""
    layer = _integer_layer(node, builder, 1, (2, 3))
    if layer is not None and emit_conv(node, builder, layer):
        return
    steps = Steps(node, builder)
    kernel = (-1, *(1,) * (len(builder.type(node, 1).shape) - 1))
    first = _distance(steps, node.input(0), _optional(node, 2))
    second = _distance(steps, node.input(1), _optional(node, 3), kernel)
    _conv(node, steps, first, second, to=node.output)


def _conv(node: OnnxNode, steps: Steps, first: str, second: str, to: str = "") -> str:
    windows = ("auto_pad", "dilations", "group", "kernel_shape", "pads", "strides")
    return steps.copied(
        "Conv", (first, second), [node.attributes[n] for n in windows if n in node.attributes], to
    )


def _requantized(
    node: OnnxNode,
    steps: Steps,
    total: str,
    scales: tuple[str, str, str],
    zero: str,
    shape: tuple[int, ...] = (),
) -> None:
    """int32 sums of two scales as integers of the third one."""
    first, second, third = (steps.cast(scale, "float32") for scale in scales)
    if int(np.prod(steps.shape(second))) == 1:
        second = steps("Reshape", second, steps.integers())
    elif shape:
        second = steps("Reshape", second, steps.integers(*shape))
    factor = steps("Div", steps("Mul", first, second), third)
    real = steps("Mul", steps.cast(total, "float32"), factor)
    _quantized(node, steps, real, zero, steps.type(zero).dtype, node.output)


@handles("QLinearMatMul", "all")
def q_linear_mat_mul(node: OnnxNode, builder: GraphBuilder) -> None:
    """A product of quantised matrices, quantised: sums exact in int32, one rounding at the end."""
    layer = _requantized_layer(node, builder, is_product=True)
    if layer is not None:
        emit_product(node, builder, layer)
        return
    steps = Steps(node, builder)
    a, a_scale, a_zero, b, b_scale, b_zero, y_scale, y_zero = (node.input(index) for index in range(8))
    first = _distance(steps, a, a_zero, _rows(steps, a_zero))
    total = steps("MatMul", first, _distance(steps, b, b_zero))
    _requantized(node, steps, total, (a_scale, b_scale, y_scale), y_zero)


@handles("QLinearConv", "all")
def q_linear_conv(node: OnnxNode, builder: GraphBuilder) -> None:
    """A convolution of quantised tensors, quantised: sums exact in int32, one rounding at the end."""
    layer = _requantized_layer(node, builder)
    if layer is not None and emit_conv(node, builder, layer):
        return
    steps = Steps(node, builder)
    x, x_scale, x_zero, w, w_scale, w_zero, y_scale, y_zero = (node.input(index) for index in range(8))
    rank = len(builder.type(node, 3).shape)
    kernel, channels = (-1, *(1,) * (rank - 1)), (1, -1, *(1,) * (rank - 2))
    total = _conv(node, steps, _distance(steps, x, x_zero), _distance(steps, w, w_zero, kernel))
    if node.has_input(8):
        total = steps("Add", total, steps("Reshape", node.input(8), steps.integers(*channels)))
    _requantized(node, steps, total, (x_scale, w_scale, y_scale), y_zero, channels)
