"""A model whose inputs are constants where the user says their values."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from onnx import AttributeProto, GraphProto, ModelProto, TensorProto, ValueInfoProto, numpy_helper

from codegen.errors import ModelError
from codegen.onnx_import.inputs import input_types
from codegen.onnx_import.model_file import MOST_FILE_BYTES
from codegen.onnx_import.tensors import to_array
from codegen.tensor import Array, TensorType

CONSTANTS_ARE_INPUTS_BEFORE = (
    4  # version of the file format from which on a constant need not be listed as an input
)
WORDS = {"true": 1, "false": 0}


def with_fixed_inputs(
    model: ModelProto, values: Mapping[str, str], shapes: Mapping[str, tuple[int, ...]], directory: Path
) -> ModelProto:
    """A copy of a model in which inputs are constants, with external data of `directory` within it.

    `values` of an input's name: its elements in row-major order with commas between them, `true` and `false` for those
    of bool. There must be as many as its shape says, that which `shapes` gives it first; where its only dimension is
    open, their number is its length. Raises ModelError for a name of no input, a value of another type or number of
    elements, and a model of more than 2 GiB; DynamicShapeError and UnsupportedTypeError as an import does.
    """
    fixed = ModelProto()
    fixed.CopyFrom(model)
    graph = fixed.graph
    constants = {tensor.name for tensor in graph.initializer}
    infos = {info.name: info for info in graph.input if info.name not in constants}
    unknown = sorted(set(values) - set(infos))
    if unknown:
        raise ModelError(
            f"has no input {unknown[0]!r} to give a value to; its inputs: {', '.join(infos) or 'none'}"
        )
    for name, text in values.items():
        array = _value(infos[name], text.split(","), shapes)
        graph.initializer.append(numpy_helper.from_array(array, name))
    if fixed.ir_version >= CONSTANTS_ARE_INPUTS_BEFORE:
        others = [info for info in graph.input if info.name not in values]
        del graph.input[:]
        graph.input.extend(others)
    _take_in(fixed, directory)
    return fixed


def _value(info: ValueInfoProto, parts: list[str], shapes: Mapping[str, tuple[int, ...]]) -> Array:
    type_ = _type(info, len(parts), shapes)
    if len(parts) != math.prod(type_.shape):
        raise ModelError(
            f"input {info.name!r} of shape {list(type_.shape)} cannot take {len(parts)} elements; give "
            f"{math.prod(type_.shape)}, in row-major order with commas between them"
        )
    elements = [_element(info.name, part.strip(), np.dtype(type_.dtype)) for part in parts]
    return np.array(elements, type_.dtype).reshape(type_.shape)


def _type(info: ValueInfoProto, count: int, shapes: Mapping[str, tuple[int, ...]]) -> TensorType:
    given = shapes.get(info.name)
    dimensions = info.type.tensor_type.shape.dim
    if given is None and len(dimensions) == 1 and dimensions[0].dim_value < 1:
        given = (count,)
    alone = GraphProto(input=[info])
    types, obstacles = input_types(alone, {} if given is None else {info.name: given})
    if obstacles:
        raise obstacles[0]
    return types[info.name]


def _element(name: str, text: str, dtype: np.dtype[Any]) -> int | float:
    try:
        if dtype.kind == "f":
            value = float(text)
            with np.errstate(over="ignore"):
                if math.isfinite(value) and not np.isfinite(dtype.type(value)):
                    raise ValueError
            return value
        number = WORDS[text.lower()] if dtype.kind == "b" and text.lower() in WORDS else int(text)
        least, most = (0, 1) if dtype.kind == "b" else (np.iinfo(dtype).min, np.iinfo(dtype).max)
    except ValueError as error:
        raise ModelError(
            f"input {name!r} of {dtype} cannot take {text!r}; give a value of its type"
        ) from error
    if not least <= number <= most:
        raise ModelError(f"input {name!r} of {dtype} cannot take {number}; give one of {least} to {most}")
    return number


def _take_in(model: ModelProto, directory: Path) -> None:
    """A model that is written elsewhere cannot have data in files beside it."""
    tensors = [tensor for tensor in _tensors(model) if tensor.data_location == TensorProto.EXTERNAL]
    total = 0
    for tensor in tensors:
        array = to_array(tensor, f"tensor {tensor.name!r}", directory)
        total += array.nbytes
        if total > MOST_FILE_BYTES:
            raise ModelError(
                "has more than 2 GiB of external data, and with a value for an input would be one file; make the "
                "input a constant in the model"
            )
        tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))


def _tensors(model: ModelProto) -> Iterator[TensorProto]:
    yield from _of_graph(model.graph)
    for function in model.functions:
        for node in function.node:
            yield from _of_attributes(node.attribute)


def _of_graph(graph: GraphProto) -> Iterator[TensorProto]:
    yield from graph.initializer
    for node in graph.node:
        yield from _of_attributes(node.attribute)


def _of_attributes(attributes: Iterable[AttributeProto]) -> Iterator[TensorProto]:
    for attribute in attributes:
        if attribute.HasField("t"):
            yield attribute.t
        yield from attribute.tensors
        for graph in (*([attribute.g] if attribute.HasField("g") else ()), *attribute.graphs):
            yield from _of_graph(graph)
