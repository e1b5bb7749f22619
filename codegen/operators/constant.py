"""Constant and Shape: values that are known before the network runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from codegen.onnx_import.arithmetic import Arithmetic
from codegen.onnx_import.quantities import Quantity, as_numbers
from codegen.onnx_import.registry import OnnxHandler, handles
from codegen.onnx_import.sizes import bounds_of, declare, number_of, numbers_of, sizes_of
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
    sizes = sizes_of(builder, builder.activation(node))
    chosen = as_numbers(sizes[node.integer("start", 0) : node.integer("end", len(sizes))])
    if not any(isinstance(number, Quantity) for number in chosen):
        builder.define_constant(node, node.output, chosen.astype(np.int64))
        return
    steps = Steps(node, builder)
    parts = [
        steps("Reshape", number.tensor, steps.integers(1))
        if isinstance(number, Quantity)
        else steps.integers(number)
        for number in chosen
    ]
    builder.quantities.set_numbers(node.output, chosen)
    steps("Concat", *parts, to=node.output, axis=0)


@handles("Size", "all; a constant but for sizes that depend on data")
def size(node: OnnxNode, builder: GraphBuilder) -> None:
    """The number of elements of an activation is a constant; a size that depends on data is the length for it."""
    number = Arithmetic(node, builder).product(sizes_of(builder, builder.activation(node)))
    if not isinstance(number, Quantity):
        builder.define_constant(node, node.output, np.asarray(number, dtype=np.int64))
        return
    builder.quantities.set_numbers(node.output, as_numbers(number))
    Steps(node, builder)("Identity", number.tensor, to=node.output)


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


@handles("ConstantOfShape", "constant shape, or one of sizes that depend on data")
def constant_of_shape(node: OnnxNode, builder: GraphBuilder) -> None:
    """One number under a shape of which a size is known in the run alone: all of its bound."""
    sizes = numbers_of(node, builder, 0)
    shape = bounds_of(node, sizes)
    given = node.tensor("value")
    value = np.zeros(1, np.float32) if given is None else builder.array(given, f"{node.where}: its value")
    if value.size != 1:
        raise node.malformed(f"its value has {value.size} elements, not one")
    steps = Steps(node, builder)
    one = builder.literal(node, value.reshape((1,) * len(shape)), step="value")
    steps("Expand", one, steps.integers(*shape), to=node.output)
    declare(builder, node.output, sizes)


@handles(
    "Range",
    "constant inputs, or integers between sizes that depend on data, or numbers that the model bounds",
)
def range_(node: OnnxNode, builder: GraphBuilder) -> None:
    """Numbers a known step apart, as many as there may be: between ends of which one is known in the run alone, as a
    size that depends on data, or a computed number that Min or Clip bound.
    """
    if any(builder.type(node, index).dtype not in ("int32", "int64") for index in range(3)):
        for index in range(3):
            builder.constant(node, index)
    steps, arithmetic = Steps(node, builder), Arithmetic(node, builder)
    start, limit = (number_of(node, builder, index)[0] for index in range(2))
    step = builder.whole(node, 2)
    if step == 0:
        raise node.malformed("its step is 0")
    way = arithmetic.subtract(limit, start) if step > 0 else arithmetic.subtract(start, limit)
    count = arithmetic.divide(arithmetic.add(arithmetic.larger(way, 0), abs(step) - 1), abs(step))
    (bound,) = bounds_of(node, [count])
    places = builder.literal(node, np.arange(bound, dtype=np.int64) * step, step="places")
    numbers = steps("Add", places, arithmetic.tensor(start)) if start != 0 else places
    steps.cast(numbers, builder.type(node, 1).dtype, to=node.output)
    declare(builder, node.output, [count])


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
        ("HannWindow", "HammingWindow", "BlackmanWindow", "MelWeightMatrix"),
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
