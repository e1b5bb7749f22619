"""Transpose, and the way from channels-last tensors to planes and back."""

from __future__ import annotations

from codegen.graph import Reshape, Transpose
from codegen.onnx_import.builder import GraphBuilder
from codegen.onnx_import.node import OnnxNode
from codegen.onnx_import.registry import handles
from codegen.shapes import moves_nothing

TO_PLANES = (0, 3, 1, 2)  # NHWC to NCHW
FROM_PLANES = (0, 2, 3, 1)


@handles("Transpose", "all; pairs that undo each other vanish")
def transpose(node: OnnxNode, builder: GraphBuilder) -> None:
    """Transpose; where only axes of size 1 change places no element moves, and it becomes a Reshape."""
    tensor, shape = builder.activation(node), builder.shape(node)
    given = node.integers("perm")
    permutation = tuple(reversed(range(len(shape)))) if given is None else given
    if sorted(permutation) != list(range(len(shape))):
        raise node.malformed(f"attribute perm is {list(permutation)}, for a tensor of shape {shape}")
    if moves_nothing(permutation, shape):
        builder.emit(node, Reshape(), tensor, shape=tuple(shape[axis] for axis in permutation))
    else:
        builder.emit(node, Transpose(permutation), tensor)
