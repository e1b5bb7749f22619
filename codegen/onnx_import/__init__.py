"""ONNX to Graph. Each operator family is a file; importing it here registers its handlers."""

from __future__ import annotations

from codegen.onnx_import import (
    activations,
    affine,
    constants,
    convolution,
    joining,
    matrix,
    normalization,
    padding,
    pooling,
    reduction,
    reshaping,
    softmax,
    transposition,
)
from codegen.onnx_import.reader import import_model, load_graph
from codegen.onnx_import.registry import supported_operators

FAMILIES = (
    activations,
    affine,
    constants,
    convolution,
    joining,
    matrix,
    normalization,
    padding,
    pooling,
    reduction,
    reshaping,
    softmax,
    transposition,
)

__all__ = ["FAMILIES", "import_model", "load_graph", "supported_operators"]
