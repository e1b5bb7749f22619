"""Layers as tests write them."""

from __future__ import annotations

from collections.abc import Iterable

from codegen.expression import RESULT, Expression, Operand
from codegen.graph import LayerSpec
from codegen.operator import Operator
from codegen.operators.conv2d import Conv2d
from codegen.operators.elementwise import Map
from codegen.tensor import Shape, TensorType


def layer_spec(
    op: Operator, inputs: tuple[TensorType, ...], output: TensorType, weights: tuple[TensorType, ...] = ()
) -> LayerSpec:
    """The spec of a layer with one output."""
    return LayerSpec(op, inputs, (output,), weights)


def sum_of_two(epilogue: Expression = RESULT) -> Map:
    """The sum of two tensors behind an epilogue."""
    return Map(epilogue.substitute((Operand(0) + Operand(1),)))


def is_sum(op: Operator) -> bool:
    """Whether a layer is a sum of two tensors, clamped or not."""
    return op.chain_part == "end"


def inferred_shape(
    op: Operator, inputs: Iterable[Shape], weights: Iterable[Shape], declared: Shape = ()
) -> Shape:
    """The shape of an operator's only output."""
    types = [TensorType(declared)] if declared else []
    (output,) = op.infer(list(map(TensorType, inputs)), list(map(TensorType, weights)), types)
    return output.shape


def inferred_layer(
    op: Operator,
    *inputs: Shape | TensorType,
    weights: Iterable[Shape | TensorType] = (),
    declared: Shape | TensorType = (),
) -> LayerSpec:
    """The layer of an operator on inputs of those types, or shapes of float32, and weights of those shapes; `declared`
    is the shape of a Reshape.
    """
    types, constants = (
        tuple(one if isinstance(one, TensorType) else TensorType(one) for one in several)
        for several in (inputs, tuple(weights))
    )
    known = declared if isinstance(declared, TensorType) else TensorType(declared)
    return LayerSpec(op, types, op.infer(types, constants, (known,) if declared else ()), constants)


def convolution(inputs: int, outputs: int, size: tuple[int, int], op: Conv2d) -> LayerSpec:
    """A convolution of one image, with its bias."""
    weights = ((outputs, inputs // op.groups, *op.kernel), (outputs,))
    return inferred_layer(op, (1, inputs, *size), weights=weights)
