"""Quantised operators of onnxruntime's own set, which its quantiser writes: each is said by conversions around the
operator of floats that it stands for, and the passes keep the integers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from codegen.onnx_import.registry import OnnxHandler, handles
from codegen.onnx_import.steps import Steps
from codegen.tensor import Array

if TYPE_CHECKING:
    from codegen.onnx_import.builder import GraphBuilder
    from codegen.onnx_import.node import OnnxNode

DOMAIN = "com.microsoft"


def _real(node: OnnxNode, steps: Steps, first: int, **attributes: Any) -> str:
    """The floats that inputs `first` to `first + 2` (integers, scale and zero point) stand for."""
    zero = node.inputs[first + 2] if node.has_input(first + 2) else ""
    return steps("DequantizeLinear", node.input(first), node.input(first + 1), zero, **attributes)


def _rounded(node: OnnxNode, builder: GraphBuilder, steps: Steps, real: str, first: int) -> None:
    """The node's output from floats; inputs `first` and `first + 1` are its scale and zero point."""
    dtype = builder.type(node).dtype
    zero = node.input(first + 1) if node.has_input(first + 1) else steps.constant(0, dtype)
    steps("QuantizeLinear", real, node.input(first), zero, to=node.output)


def _pairwise(op_type: str) -> OnnxHandler:
    def handler(node: OnnxNode, builder: GraphBuilder) -> None:
        steps = Steps(node, builder)
        _rounded(node, builder, steps, steps(op_type, _real(node, steps, 0), _real(node, steps, 3)), 6)

    return OnnxHandler(f"QLinear{op_type}", "all", handler, DOMAIN)


def _single(op_type: str) -> OnnxHandler:
    def handler(node: OnnxNode, builder: GraphBuilder) -> None:
        steps = Steps(node, builder)
        kept = [value for name, value in node.attributes.items() if name not in ("channels_last", "opset")]
        real = _real(node, steps, 0)
        if not node.flag("channels_last"):
            _rounded(node, builder, steps, steps.copied(op_type, [real], kept), 3)
            return
        inner = steps.copied(op_type, [_turned(steps, real, first=True)], kept)
        _rounded(node, builder, steps, _turned(steps, inner, first=False), 3)

    return OnnxHandler(f"QLinear{op_type}", "all", handler, DOMAIN)


def _turned(steps: Steps, tensor: str, *, first: bool, to: str = "") -> str:
    """A tensor with its last axis, of channels, behind that of samples, or back."""
    axes = range(len(steps.shape(tensor)))
    order = [0, axes[-1], *axes[1:-1]] if first else [0, *axes[2:], 1]
    return steps("Transpose", tensor, to=to, perm=order)


q_linear_add = _pairwise("Add")
q_linear_mul = _pairwise("Mul")
q_linear_global_average_pool = _single("GlobalAveragePool")
q_linear_average_pool = _single("AveragePool")
q_linear_leaky_relu = _single("LeakyRelu")
q_linear_sigmoid = _single("Sigmoid")
q_linear_softmax = _single("Softmax")


@handles("QLinearConcat", "all", DOMAIN)
def q_linear_concat(node: OnnxNode, builder: GraphBuilder) -> None:
    """Parts of scales of their own behind each other, of one scale."""
    steps = Steps(node, builder)
    parts = [_real(node, steps, first) for first in range(2, len(node.inputs), 3)]
    _rounded(node, builder, steps, steps("Concat", *parts, axis=node.integer("axis", 1)), 0)


@handles("QGemm", "all; without a scale of the output its floats", DOMAIN)
def q_gemm(node: OnnxNode, builder: GraphBuilder) -> None:
    """A product of matrices plus int32 numbers of the product of both scales."""
    steps = Steps(node, builder)
    transposed = node.flag("transB")
    first, second = _real(node, steps, 0), _real(node, steps, 3, axis=0 if transposed else 1)
    inputs = [first, second]
    if node.has_input(6):
        scale = steps("Mul", node.input(1), node.input(4))
        inputs.append(steps("DequantizeLinear", node.input(6), scale, "", axis=0))
    kept = [value for name, value in node.attributes.items() if name in ("transA", "transB", "alpha")]
    if node.has_input(7):
        _rounded(node, builder, steps, steps.copied("Gemm", inputs, kept), 7)
    else:
        steps.copied("Gemm", inputs, kept, to=node.output)


@handles("QLinearConv", "all", DOMAIN)
def q_linear_conv(node: OnnxNode, builder: GraphBuilder) -> None:
    """ONNX's, of which the channels may come last."""
    steps, last = Steps(node, builder), node.flag("channels_last")
    kept = [value for name, value in node.attributes.items() if name != "channels_last"]
    if not last:
        steps.copied("QLinearConv", node.inputs, kept, to=node.output)
        return
    inputs = [_turned(steps, node.input(0), first=True), *node.inputs[1:]]
    _turned(steps, steps.copied("QLinearConv", inputs, kept), first=False, to=node.output)


@handles("NhwcMaxPool", "all", DOMAIN)
def nhwc_max_pool(node: OnnxNode, builder: GraphBuilder) -> None:
    """A maximum pool of integers whose channels come last."""
    steps = Steps(node, builder)
    pooled = steps.copied("MaxPool", [_turned(steps, node.input(0), first=True)], node.attributes.values())
    _turned(steps, pooled, first=False, to=node.output)


@handles("QLinearWhere", "all", DOMAIN)
def q_linear_where(node: OnnxNode, builder: GraphBuilder) -> None:
    """One or the other of two tensors of scales of their own."""
    steps = Steps(node, builder)
    chosen = steps("Where", node.input(0), _real(node, steps, 1), _real(node, steps, 4))
    _rounded(node, builder, steps, chosen, 7)


def _renamed(op_type: str) -> OnnxHandler:
    """An operator that older operator sets of ONNX lacked, or lacked for some types."""

    def handler(node: OnnxNode, builder: GraphBuilder) -> None:
        Steps(node, builder).copied(op_type, node.inputs, node.attributes.values(), to=node.output)

    return OnnxHandler(op_type, "as ONNX's", handler, DOMAIN)


quantize_linear = _renamed("QuantizeLinear")
dequantize_linear = _renamed("DequantizeLinear")


def _scaled_product(
    node: OnnxNode,
    steps: Steps,
    factors: Sequence[str],
    scales: Sequence[str],
    zeros: Sequence[str],
    bias: int,
) -> None:
    """The node's output: an exact product of integers times both scales, plus the input `bias` where it is there."""
    product = steps.cast(steps("MatMulInteger", *factors, *zeros), "float32")
    scale = steps("Mul", *scales)
    if not node.has_input(bias):
        steps("Mul", product, scale, to=node.output)
        return
    steps("Add", steps("Mul", product, scale), node.input(bias), to=node.output)


@handles("MatMulIntegerToFloat", "all", DOMAIN)
def mat_mul_integer_to_float(node: OnnxNode, builder: GraphBuilder) -> None:
    """A product of integers as floats."""
    zeros = [node.inputs[index] if node.has_input(index) else "" for index in (4, 5)]
    scales = [node.input(2), node.input(3)]
    _scaled_product(node, Steps(node, builder), [node.input(0), node.input(1)], scales, zeros, 6)


@handles("DynamicQuantizeMatMul", "all", DOMAIN)
def dynamic_quantize_mat_mul(node: OnnxNode, builder: GraphBuilder) -> None:
    """The same of floats, which are quantised as a whole in each run."""
    steps = Steps(node, builder)
    names = [steps.fresh(name) for name in ("quantized", "scale", "zero")]
    quantized, scale, zero = steps.several("DynamicQuantizeLinear", [node.input(0)], names)
    zeros = [zero, node.inputs[3] if node.has_input(3) else ""]
    _scaled_product(node, steps, [quantized, node.input(1)], [scale, node.input(2)], zeros, 4)


@handles(
    "MatMulNBits",
    "constant weights of 2, 4 or 8 bits, which become floats; without an order of groups",
    DOMAIN,
)
def mat_mul_n_bits(node: OnnxNode, builder: GraphBuilder) -> None:
    """A product with the transpose of a matrix (N, K) of few bits, of which blocks along K have scales of their own."""
    if node.has_input(4):
        raise node.unsupported("its groups have an order", "quantise the weights in blocks as they stand")
    steps, dtype = Steps(node, builder), builder.type(node).dtype
    product = steps("MatMul", node.input(0), steps.constant(_unpacked(node, builder).T, dtype))
    if node.has_input(5):
        product = steps("Add", product, node.input(5))
    steps("Identity", product, to=node.output)


def _unpacked(node: OnnxNode, builder: GraphBuilder) -> Array:
    """The matrix (N, K) of a MatMulNBits, in float32."""
    bits, rows, columns, block = (node.integer(name, 0) for name in ("bits", "N", "K", "block_size"))
    packed, scales = builder.constant(node, 1), builder.constant(node, 2).astype(np.float32)
    if bits not in (2, 4, 8) or min(rows, columns, block) < 1:
        raise node.malformed(f"it has {bits} bits in blocks of {block}, and a matrix of {rows} by {columns}")
    blocks = -(-columns // block)
    if (
        packed.dtype != np.uint8
        or packed.size * 8 != rows * blocks * block * bits
        or scales.size != rows * blocks
    ):
        raise node.malformed(f"its weights of shape {packed.shape} and {scales.size} scales do not fit it")
    zeros = np.full((rows, blocks, 1), 2 ** (bits - 1), np.float32)
    if node.has_input(3):
        given = builder.constant(node, 3)
        given = _parted(given.reshape(rows, -1), bits)[:, :blocks] if given.dtype == np.uint8 else given
        if given.size != rows * blocks:
            raise node.malformed(f"it has {given.size} zero points for {rows * blocks} blocks")
        zeros = given.astype(np.float32).reshape(zeros.shape)
    numbers = _parted(packed.reshape(rows, -1), bits).reshape(rows, blocks, block).astype(np.float32)
    found = (numbers - zeros) * scales.reshape(rows, blocks, 1)
    return found.reshape(rows, -1)[:, :columns]


def _parted(rows: Array, bits: int) -> Array:
    """The numbers of so many bits that bytes hold, the lowest first."""
    shifts = np.arange(0, 8, bits, dtype=np.uint8)
    shifted = np.right_shift(rows.astype(np.uint8)[..., None], shifts)
    return np.bitwise_and(shifted, np.uint8(2**bits - 1)).reshape(len(rows), -1)
