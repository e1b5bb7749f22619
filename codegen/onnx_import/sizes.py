"""Shapes whose sizes are numbers of which one may be known in the run alone: of tensors, and asked for by nodes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from codegen.lengths import Length
from codegen.onnx_import.node import OnnxNode
from codegen.onnx_import.quantities import LEAST, MOST, Number, Numbers, Quantity, as_numbers, most
from codegen.onnx_import.steps import Steps
from codegen.onnx_import.tensors import MAX_ELEMENTS
from codegen.tensor import Shape

if TYPE_CHECKING:
    from codegen.onnx_import.builder import GraphBuilder

MOST_NUMBERS = 64  # of a list that sizes are made of


def sizes_of(builder: GraphBuilder, tensor: str) -> list[Number]:
    """The shape of a tensor, where it has a length that in the place of its bound."""
    type_, length = builder.type_by_name(tensor), builder.length(tensor)
    sizes: list[Number] = list(type_.shape)
    if length is not None:
        sizes[length.axis] = builder.quantities.add(length.tensor, 0, type_.shape[length.axis])
    return sizes


def known_numbers(builder: GraphBuilder, tensor: str) -> Numbers | None:
    """What stands in a tensor of whole numbers or truth values, where all of it is known or follows from lengths."""
    if not builder.is_constant(tensor):
        return builder.quantities.numbers(tensor)
    value = builder.value(tensor)
    if value.dtype.kind not in "iub" or value.size > MOST_NUMBERS:
        return None
    return as_numbers(value.tolist())


def numbers_of(node: OnnxNode, builder: GraphBuilder, index: int) -> list[Number]:
    """The whole numbers of an input that is a list of them or one: constants, or such as follow from lengths. Raises
    NotConstantError for others.
    """
    known = known_numbers(builder, node.input(index))
    if known is None or builder.is_constant(node.input(index)):
        return list(builder.integers(node, index))
    return list(known.reshape(-1))


def number_of(node: OnnxNode, builder: GraphBuilder, index: int) -> list[Number]:
    """The same of an input that may also be one number that is computed, of which nothing is known."""
    name = node.input(index)
    is_known = builder.is_constant(name) or known_numbers(builder, name) is not None
    unknown = None if is_known else unknown_number(node, builder, name)
    return numbers_of(node, builder, index) if unknown is None else [unknown]


def unknown_number(node: OnnxNode, builder: GraphBuilder, name: str) -> Quantity | None:
    """The one whole number that a computed tensor is, of which nothing is known; None where it is another tensor."""
    type_ = builder.type_by_name(name)
    if type_.elements != 1 or type_.dtype not in ("int32", "int64"):
        return None
    steps = Steps(node, builder)
    scalar = steps("Reshape", steps.cast(name, "int64"), steps.integers())
    return builder.quantities.add(scalar, LEAST, MOST)


def bounds_of(node: OnnxNode, sizes: Sequence[Number]) -> Shape:
    """The largest shape that these sizes can be; raises UnsupportedOperatorError where two of them are known in the run
    alone, or one has no bound.
    """
    open_sizes = [size for size in sizes if isinstance(size, Quantity)]
    if len(open_sizes) > 1:
        raise node.unsupported("two sizes of its result depend on data", "compute it outside of the network")
    shape = tuple(map(most, sizes))
    if min(shape, default=0) < 0:
        raise node.malformed(f"its result has the shape {shape}")
    if math.prod(shape) > MAX_ELEMENTS:
        raise node.unsupported(
            f"a size of its result depends on data and may be more than {MAX_ELEMENTS}",
            "bound it by Min or Clip with a constant, as an integer, or compute it outside of the network",
        )
    return shape


def declare(builder: GraphBuilder, tensor: str, sizes: Sequence[Number]) -> None:
    """Says how much of a tensor holds results."""
    for axis, size in enumerate(sizes):
        if isinstance(size, Quantity):
            builder.set_length(tensor, Length(axis, size.tensor))


def within_length(node: OnnxNode, builder: GraphBuilder, length: Length, rank: int, bound: int) -> str:
    """Truth values that broadcast to a tensor of that rank: whether an index of the axis is below the length."""
    key = ("within", length, rank, bound)
    found = builder.kept_step(key)
    if found is None:
        steps = Steps(node, builder)
        places = np.arange(bound, dtype=np.int64).reshape(
            [bound if axis == length.axis else 1 for axis in range(rank)]
        )
        found = builder.keep_step(key, steps("Less", steps.constant(places), length.tensor))
    return found


def filled(node: OnnxNode, builder: GraphBuilder, tensor: str, value: float | int | bool) -> str:
    """A tensor all of which holds results: behind its length it is that number."""
    length, type_ = builder.length(tensor), builder.type_by_name(tensor)
    if length is None:
        return tensor
    steps, rank = Steps(node, builder), len(type_.shape)
    mask = within_length(node, builder, length, rank, type_.shape[length.axis])
    return steps("Where", mask, builder.to_bound(node, tensor), steps.constant(value, type_.dtype))


def along(node: OnnxNode, builder: GraphBuilder, tensor: str, indices: str, axis: int, to: str = "") -> str:
    """The elements of a tensor, whatever its length, at computed indices along an axis, that count from the front."""
    return Steps(node, builder)("Gather", builder.to_bound(node, tensor), indices, to=to, axis=axis)
