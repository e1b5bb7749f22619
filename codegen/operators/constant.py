"""Constant and Shape: values that are known before the network runs."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from codegen.onnx_import.registry import OnnxHandler, handles
from codegen.onnx_import.steps import Steps
from codegen.tensor import Array

if TYPE_CHECKING:
    from codegen.onnx_import.builder import GraphBuilder
    from codegen.onnx_import.node import OnnxNode

FORMS = "value, value_float, value_floats, value_int, value_ints"


@handles("Constant", f"as {FORMS}")
def constant(node: OnnxNode, builder: GraphBuilder) -> None:
    """Constant in every numeric form."""
    builder.define_constant(node, node.output, _value(node, builder))


@handles("Shape", "all; a constant but for sizes that depend on data")
def shape(node: OnnxNode, builder: GraphBuilder) -> None:
    """The shape of an activation is a constant; `start` and `end` cut it as a Python slice does. A size that depends
    on data is the length that stands for it.
    """
    sizes = builder.shape(node)
    chosen = range(len(sizes))[node.integer("start", 0) : node.integer("end", len(sizes))]
    length = builder.length(node.input(0))
    if length is None or length.axis not in chosen:
        builder.define_constant(
            node, node.output, np.asarray([sizes[axis] for axis in chosen], dtype=np.int64)
        )
        return
    steps = Steps(node, builder)
    own = steps("Reshape", length.tensor, steps.integers(1))
    parts = [own if axis == length.axis else steps.integers(sizes[axis]) for axis in chosen]
    steps("Concat", *parts, to=node.output, axis=0)


@handles("Size", "all; a constant but for sizes that depend on data")
def size(node: OnnxNode, builder: GraphBuilder) -> None:
    """The number of elements of an activation is a constant; a size that depends on data is the length for it."""
    sizes, length = builder.shape(node), builder.length(node.input(0))
    if length is None:
        builder.define_constant(node, node.output, np.asarray(math.prod(sizes), dtype=np.int64))
        return
    steps = Steps(node, builder)
    others = math.prod(sizes[: length.axis] + sizes[length.axis + 1 :])
    steps("Mul", length.tensor, steps.constant(others, "int64"), to=node.output)


@handles("EyeLike", "all, since every shape is fixed")
def eye_like(node: OnnxNode, builder: GraphBuilder) -> None:
    """Ones on a diagonal: of the input only the shape matters."""
    builder.require_fixed(node)
    type_ = builder.type(node)
    if len(type_.shape) != 2:
        raise node.malformed(f"it takes a matrix, not a tensor of shape {type_.shape}")
    dtype = node.element_type("dtype") if "dtype" in node.attributes else type_.dtype
    value = np.eye(*type_.shape, k=node.integer("k", 0)).astype(dtype)
    builder.define_constant(node, node.output, value)


def _constant_inputs(op_type: str) -> OnnxHandler:
    """Of an operator that is folded, once the inputs that decide its size are constants: asks for them."""

    def handler(node: OnnxNode, builder: GraphBuilder) -> None:
        for index in range(len(node.inputs)):
            if node.has_input(index):
                builder.constant(node, index)

    return OnnxHandler(op_type, "constant inputs", handler)


HANDLERS = tuple(
    map(
        _constant_inputs,
        ("ConstantOfShape", "Range", "HannWindow", "HammingWindow", "BlackmanWindow", "MelWeightMatrix"),
    )
)


def _value(node: OnnxNode, builder: GraphBuilder) -> Array:
    if len(node.attributes) != 1:
        raise node.malformed(f"it has {len(node.attributes)} attributes, not one of {FORMS}")
    form = next(iter(node.attributes))
    tensor = node.tensor("value") if form == "value" else None
    if tensor is not None:
        return builder.array(tensor, f"{node.where}: its value")
    if form == "value_float":
        return np.asarray(node.real(form, 0.0), dtype=np.float32)
    if form == "value_int":
        return np.asarray(node.integer(form, 0), dtype=np.int64)
    if form == "value_floats":
        return np.asarray(node.reals(form), dtype=np.float32)
    if form == "value_ints":
        return np.asarray(node.integers(form), dtype=np.int64)
    raise node.unsupported(f"its value is given as {form!r}", f"export the model with one of {FORMS}")
