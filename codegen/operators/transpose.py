"""Transposition of axes, and the way from channels-last tensors to planes and back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from codegen.errors import GraphSpecError
from codegen.interval import Interval
from codegen.onnx_import.registry import handles
from codegen.onnx_import.sizes import sizes_of
from codegen.operator import Arrays, Operator, Types, sole_input
from codegen.operators.reshape import emit_sizes
from codegen.places import Piece, in_order
from codegen.tensor import Doubles, Shape, TensorType

if TYPE_CHECKING:
    from codegen.onnx_import.builder import GraphBuilder
    from codegen.onnx_import.node import OnnxNode

TO_PLANES = (0, 3, 1, 2)  # NHWC to NCHW
FROM_PLANES = (0, 2, 3, 1)


@dataclass(frozen=True)
class Transpose(Operator):
    """Axis i of the result is axis `permutation[i]` of the input.

    Fields:
        permutation: for each axis of the result the input's, counted from 0
    """

    moves_elements = True

    permutation: tuple[int, ...]

    def infer(self, inputs: Types, weights: Types, declared: Types) -> tuple[TensorType, ...]:
        source = sole_input(self, inputs, weights, 0)
        if sorted(self.permutation) != list(range(len(source.shape))):
            raise GraphSpecError(f"Transpose by {self.permutation} of a tensor of shape {source.shape}")
        return (replace(source, shape=tuple(source.shape[axis] for axis in self.permutation)),)

    def evaluate(self, inputs: Arrays, weights: Arrays, outputs: Types) -> tuple[Doubles, ...]:
        return (np.ascontiguousarray(inputs[0].transpose(self.permutation)),)

    def carried(self, axis: int, source: int, inputs: Types, outputs: Types) -> tuple[int | None, ...]:
        return (self.permutation.index(axis),)

    def describe(self) -> str:
        return f"Transpose {','.join(map(str, self.permutation))}"

    def pieces(self, inputs: Types, outputs: Types) -> Sequence[Piece]:
        return (Piece(0, 0, in_order(inputs[0]).transpose(self.permutation)),)

    def range(self, inputs: Sequence[Interval]) -> Interval:
        return inputs[0]


def moves_nothing(permutation: Sequence[int], shape: Shape) -> bool:
    """Whether a transposition leaves row-major order as it is: axes of more than one element keep their order."""
    moved = [axis for axis in permutation if shape[axis] != 1]
    return moved == sorted(moved)


@handles("Transpose", "all; pairs that undo each other vanish")
def transpose(node: OnnxNode, builder: GraphBuilder) -> None:
    """Transpose; where only axes of size 1 change places no element moves, and it becomes a Reshape."""
    tensor, shape = builder.activation(node), builder.shape(node)
    given = node.integers("perm")
    permutation = tuple(reversed(range(len(shape)))) if given is None else given
    if sorted(permutation) != list(range(len(shape))):
        raise node.malformed(f"attribute perm is {list(permutation)}, for a tensor of shape {shape}")
    if moves_nothing(permutation, shape):
        sizes = sizes_of(builder, tensor)
        emit_sizes(node, builder, tensor, [sizes[axis] for axis in permutation])
    else:
        builder.emit(node, Transpose(permutation), tensor)
