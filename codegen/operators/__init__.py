"""The built-in operators, a module each: its type, its meaning, its traits, and the ONNX handlers that give it."""

from __future__ import annotations

MODULES = (
    "batch_normalization",
    "chain",
    "concat",
    "constant",
    "contraction",
    "control_flow",
    "conv2d",
    "conv_nd",
    "conv_transpose2d",
    "elementwise",
    "fully_connected",
    "indexing",
    "literal",
    "normalization",
    "pad2d",
    "pool2d",
    "pool_nd",
    "quantization",
    "rearrange",
    "recurrent",
    "reduction",
    "relayout",
    "reshape",
    "resize",
    "softmax",
    "split",
    "transpose",
    "typed_map",
)
