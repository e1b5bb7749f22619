"""Conv and ConvTranspose."""

from __future__ import annotations

import numpy as np

from codegen.graph import Conv2d, ConvTranspose2d
from codegen.onnx_import.builder import GraphBuilder
from codegen.onnx_import.node import OnnxNode
from codegen.onnx_import.registry import handles
from codegen.onnx_import.windows import read_window, require_planes, transposed_window


@handles("Conv", "two-dimensional; groups, dilations, every auto_pad; constant weights, optional bias")
def conv(node: OnnxNode, builder: GraphBuilder) -> None:
    """Conv to Conv2d, always with a bias."""
    shape = builder.shape(node)
    require_planes(node, shape)
    weight = builder.weight(node, 1)
    if weight.ndim != 4:
        raise node.malformed(f"its weights have shape {weight.shape}, not (out, in / group, kh, kw)")
    plane, kernel = (shape[2], shape[3]), (weight.shape[2], weight.shape[3])
    if node.pair("kernel_shape", kernel) != kernel:
        raise node.malformed(f"attribute kernel_shape is not that of its weights {weight.shape}")
    has_bias = node.has_input(2)
    bias = builder.weight(node, 2) if has_bias else np.zeros(weight.shape[0], dtype=np.float32)
    window = read_window(node, plane, kernel)
    groups = node.integer("group", 1)
    op = Conv2d(window.kernel, window.strides, window.pads, window.dilations, groups)
    builder.emit(node, op, node.input(0), {"weight": weight, "bias": bias})


@handles(
    "ConvTranspose",
    "two-dimensional; groups, dilations, output_padding, output_shape, every auto_pad; constant weights",
)
def conv_transpose(node: OnnxNode, builder: GraphBuilder) -> None:
    """ConvTranspose to ConvTranspose2d, always with a bias; ONNX has its weights as (in, out / group, kh, kw)."""
    shape = builder.shape(node)
    require_planes(node, shape)
    weight, groups = builder.weight(node, 1), node.integer("group", 1)
    if weight.ndim != 4 or groups < 1 or weight.shape[0] % groups:
        raise node.malformed(f"its weights have shape {weight.shape}, not (in, out / group, kh, kw)")
    inputs, per_group, *kernel = weight.shape
    window, output_pads = transposed_window(node, (shape[2], shape[3]), (kernel[0], kernel[1]))
    grouped = weight.reshape(groups, inputs // groups, per_group, *kernel).swapaxes(1, 2)
    weight = np.ascontiguousarray(grouped).reshape(groups * per_group, inputs // groups, *kernel)
    has_bias = node.has_input(2)
    bias = builder.weight(node, 2) if has_bias else np.zeros(weight.shape[0], dtype=np.float32)
    op = ConvTranspose2d(window.kernel, window.strides, window.pads, output_pads, window.dilations, groups)
    builder.emit(node, op, node.input(0), {"weight": weight, "bias": bias})
