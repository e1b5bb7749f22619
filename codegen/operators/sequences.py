"""Sequences whose tensors import knows: what puts them together and takes them apart leaves tensors alone behind."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from codegen.onnx_import.registry import handles
from codegen.onnx_import.steps import Steps

if TYPE_CHECKING:
    from codegen.onnx_import.builder import GraphBuilder
    from codegen.onnx_import.node import OnnxNode

FORMS = "tensors and positions known before the network runs"


@handles("SequenceConstruct", FORMS)
def sequence_construct(node: OnnxNode, builder: GraphBuilder) -> None:
    """A sequence of its inputs."""
    builder.sequences.define(node.output, [node.input(index) for index in range(len(node.inputs))])


@handles("SequenceEmpty", FORMS)
def sequence_empty(node: OnnxNode, builder: GraphBuilder) -> None:
    """A sequence of none."""
    builder.sequences.define(node.output, ())


@handles("SequenceInsert", FORMS, takes_sequences=True)
def sequence_insert(node: OnnxNode, builder: GraphBuilder) -> None:
    """A tensor before a position, or behind all others."""
    tensors = list(builder.sequences.read(node, 0))
    place = _place(node, builder, 2, len(tensors), len(tensors)) if node.has_input(2) else len(tensors)
    builder.sequences.define(node.output, [*tensors[:place], node.input(1), *tensors[place:]])


@handles("SequenceErase", FORMS, takes_sequences=True)
def sequence_erase(node: OnnxNode, builder: GraphBuilder) -> None:
    """All tensors but one: the last where no position is given."""
    tensors = list(builder.sequences.read(node, 0))
    last = len(tensors) - 1
    del tensors[_place(node, builder, 1, len(tensors), last) if node.has_input(1) else last]
    builder.sequences.define(node.output, tensors)


@handles("SequenceAt", FORMS, takes_sequences=True)
def sequence_at(node: OnnxNode, builder: GraphBuilder) -> None:
    """The tensor at a position."""
    tensors = builder.sequences.read(node, 0)
    chosen = tensors[_place(node, builder, 1, len(tensors), len(tensors) - 1)]
    Steps(node, builder)("Identity", chosen, to=node.output)


@handles("SequenceLength", FORMS, takes_sequences=True)
def sequence_length(node: OnnxNode, builder: GraphBuilder) -> None:
    """How many tensors there are, a constant."""
    count = len(builder.sequences.read(node, 0))
    builder.define_constant(node, node.output, np.asarray(count, dtype=np.int64))


@handles("ConcatFromSequence", FORMS, takes_sequences=True)
def concat_from_sequence(node: OnnxNode, builder: GraphBuilder) -> None:
    """All tensors along an axis, or stacked along a new one."""
    steps, tensors = Steps(node, builder), builder.sequences.read(node, 0)
    axis = node.integer("axis", 0)
    if node.flag("new_axis"):
        tensors = tuple(steps("Unsqueeze", tensor, steps.integers(axis)) for tensor in tensors)
    if not tensors:
        raise node.unsupported("it joins a sequence of no tensors", "export the model without it")
    steps("Concat", *tensors, to=node.output, axis=axis)


@handles("SplitToSequence", FORMS)
def split_to_sequence(node: OnnxNode, builder: GraphBuilder) -> None:
    """Parts of given sizes, of one size, or single elements."""
    steps, shape = Steps(node, builder), builder.type(node).shape
    axis = node.axis(node.integer("axis", 0), len(shape))
    size = shape[axis]
    if node.has_input(1):
        given = builder.integers(node, 1)
        if min(given, default=0) < 0 or (builder.type(node, 1).shape == () and given[0] < 1):
            raise node.malformed(f"parts of {list(given)} are none")
        sizes = (
            list(given)
            if builder.type(node, 1).shape
            else [min(given[0], size - at) for at in range(0, size, given[0])]
        )
    else:
        sizes = [1] * size
    names = [f"{node.output}/{number}" for number in range(len(sizes))]
    steps.several("Split", (node.input(0), steps.integers(*sizes)), names, axis=axis)
    if not node.has_input(1) and not node.integer("keepdims", 1):
        names = [steps("Squeeze", name, steps.integers(axis)) for name in names]
    builder.sequences.define(node.output, names)


@handles("OptionalHasElement", "of what is known to be there or not", takes_sequences=True)
def optional_has_element(node: OnnxNode, builder: GraphBuilder) -> None:
    """Whether there is an input: a tensor or a sequence always is."""
    builder.define_constant(node, node.output, np.asarray(node.has_input(0)))


@handles("OptionalGetElement", "of a tensor or a sequence", takes_sequences=True)
def optional_get_element(node: OnnxNode, builder: GraphBuilder) -> None:
    """Its input."""
    Steps(node, builder)("Identity", node.input(0), to=node.output)


@handles("Optional", "with a value", takes_sequences=True)
def optional(node: OnnxNode, builder: GraphBuilder) -> None:
    """Its input."""
    if not node.has_input(0):
        raise node.unsupported("it has no value", "export the model with tensors that are always there")
    Steps(node, builder)("Identity", node.input(0), to=node.output)


def _place(node: OnnxNode, builder: GraphBuilder, index: int, count: int, most: int) -> int:
    """A constant position, counted from the front."""
    place = builder.whole(node, index)
    if not -count <= place <= most:
        raise node.malformed(f"position {place} is outside a sequence of {count} tensors")
    return place + count if place < 0 else place
