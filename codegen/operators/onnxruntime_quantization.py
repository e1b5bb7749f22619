"""Quantised operators of onnxruntime's own set, which its quantiser writes: each is said by conversions around the
operator of floats that it stands for, and the passes keep the integers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from codegen.onnx_import.registry import OnnxHandler, handles
from codegen.onnx_import.steps import Steps

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
        if node.flag("channels_last"):
            raise node.unsupported("its channels come last", "quantise a network whose channels come first")
        steps = Steps(node, builder)
        kept = [value for name, value in node.attributes.items() if name not in ("channels_last", "opset")]
        real = steps.copied(op_type, [_real(node, steps, 0)], kept)
        _rounded(node, builder, steps, real, 3)

    return OnnxHandler(f"QLinear{op_type}", "channels first", handler, DOMAIN)


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
