"""Sequences along an axis of a tensor: turned up to a length of their own, written into a cache."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from codegen.onnx_import.registry import handles
from codegen.onnx_import.steps import Steps

if TYPE_CHECKING:
    from codegen.onnx_import.builder import GraphBuilder
    from codegen.onnx_import.node import OnnxNode


@handles("ReverseSequence", "all")
def reverse_sequence(node: OnnxNode, builder: GraphBuilder) -> None:
    """The first elements of each sequence backwards, as many as the second input says, the others as they are."""
    steps, shape = Steps(node, builder), builder.type(node).shape
    batch, time = node.integer("batch_axis", 1), node.integer("time_axis", 0)
    if {batch, time} != {0, 1} or len(shape) < 2:
        raise node.malformed(f"its batch axis is {batch} and its time axis {time}")
    order = [batch, time, *range(2, len(shape))]
    lengths = steps("Reshape", node.input(1), steps.integers(-1, 1))
    places = steps.constant(np.arange(shape[time])[None], "int64")
    turned = steps("Sub", steps("Sub", lengths, steps.constant(1, "int64")), places)
    places = steps("Where", steps("Less", places, lengths), turned, places)
    tuples = steps("Unsqueeze", places, steps.integers(-1))
    moved = steps("Transpose", node.input(0), perm=order)
    steps("Transpose", steps("GatherND", moved, tuples, batch_dims=1), to=node.output, perm=order)


@handles("TensorScatter", "all")
def tensor_scatter(node: OnnxNode, builder: GraphBuilder) -> None:
    """An update written into each sequence of a cache from an index on, around its end where it is circular."""
    steps, shape, update = Steps(node, builder), builder.type(node).shape, builder.type(node, 1).shape
    axis, mode = node.axis(node.integer("axis", -2), len(shape)), node.text("mode", "linear")
    if axis == 0 or len(update) != len(shape) or mode not in ("linear", "circular"):
        raise node.malformed(f"it writes {update} to {shape} along axis {axis}, mode {mode!r}")
    sizes = [update[axis] if other == axis else 1 for other in range(len(shape))]
    places = steps.constant(np.arange(update[axis]).reshape(sizes), "int64")
    if node.has_input(2):
        first = steps("Reshape", node.input(2), steps.integers(-1, *(1,) * (len(shape) - 1)))
        places = steps("Add", places, first)
    if mode == "circular":
        places = steps("Mod", places, steps.constant(shape[axis], "int64"))
    places = steps("Expand", places, steps.integers(*update))
    steps("ScatterElements", node.input(0), places, node.input(1), to=node.output, axis=axis)
