"""The built-in operators, a module each: its type, its meaning, its traits, and the ONNX handlers that give it."""

from __future__ import annotations

MODULES = (
    "batch_normalization",
    "chain",
    "concat",
    "constant",
    "conv2d",
    "conv_transpose2d",
    "elementwise",
    "fully_connected",
    "indexing",
    "literal",
    "pad2d",
    "pool2d",
    "rearrange",
    "relayout",
    "reshape",
    "softmax",
    "split",
    "transpose",
    "typed_map",
)
