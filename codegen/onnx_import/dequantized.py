"""Which tensors of reals of a model are integers of a scale and a zero point, as DequantizeLinear says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from codegen.element_type import FLOAT32
from codegen.tensor import Array, FloatArray

if TYPE_CHECKING:
    from codegen.onnx_import.builder import GraphBuilder
    from codegen.onnx_import.node import OnnxNode


@dataclass(frozen=True)
class Dequantized:
    """Where a real tensor comes from: `(tensor - zero) * scale`. Scale and zero point have one element, or as many as
    axis `axis` of the tensor.
    """

    tensor: str
    scale: FloatArray
    zero: Array
    axis: int

    @property
    def of_all(self) -> bool:
        """Whether there is one scale for all elements."""
        return self.scale.size == 1


def dequantized(node: OnnxNode, builder: GraphBuilder) -> Dequantized | None:
    """What a DequantizeLinear of float32 says of its output, where its scales are constant and one for all elements or
    for each index of an axis.
    """
    if not all(builder.is_constant(node.input(i)) for i in range(1, len(node.inputs)) if node.has_input(i)):
        return None
    source, scale = builder.type(node), builder.constant(node, 1)
    if scale.dtype != FLOAT32.name or scale.ndim > 1 or source.dtype not in ("uint8", "int8", "int32"):
        return None
    zero = builder.constant(node, 2) if node.has_input(2) else np.zeros(scale.shape, source.dtype)
    axis = node.axis(node.integer("axis", 1), len(source.shape)) if scale.size > 1 else 0
    if scale.size > 1 and (source.shape[axis] != scale.size or node.integer("block_size", 0)):
        return None
    return Dequantized(node.input(0), scale.reshape(-1).astype(np.float32), zero.reshape(-1), axis)
