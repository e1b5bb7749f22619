"""Conv."""

from __future__ import annotations

import numpy as np

from codegen.graph import Conv2d
from codegen.onnx_import.builder import GraphBuilder
from codegen.onnx_import.node import OnnxNode
from codegen.onnx_import.registry import handles
from codegen.onnx_import.windows import read_window, require_planes


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
