"""BatchNormalization in its inference form."""

from __future__ import annotations

import numpy as np

from codegen.graph import BatchNormalization
from codegen.onnx_import.builder import GraphBuilder
from codegen.onnx_import.node import OnnxNode
from codegen.onnx_import.registry import handles

ROLES = ("scale", "bias", "mean", "variance")


@handles("BatchNormalization", "inference form with constant statistics")
def batch_normalization(node: OnnxNode, builder: GraphBuilder) -> None:
    """Before operator set 14 the extra outputs tell training from inference, afterwards an attribute does."""
    training = node.flag("training_mode") if node.opset >= 14 else any(node.outputs[1:])
    if training:
        raise node.unsupported("it is in training mode", "export the model for inference")
    weights = {role: builder.weight(node, index + 1) for index, role in enumerate(ROLES)}
    epsilon = node.real("epsilon", 1e-5)
    if not np.all(weights["variance"].astype(np.float64) + epsilon > 0):
        raise node.malformed("a variance plus epsilon is not above 0")
    builder.emit(node, BatchNormalization(epsilon), builder.activation(node), weights)
