"""The model's inputs with fixed shapes, some of them given by the user."""

from __future__ import annotations

import math
from collections.abc import Mapping

from onnx import GraphProto, ValueInfoProto, helper

from codegen.errors import DynamicShapeError, ModelError, UnsupportedTypeError
from codegen.onnx_import.tensors import CONVERTIBLE, MAX_ELEMENTS, type_name
from codegen.tensor import TensorType

Shape = tuple[int, ...]
KINDS = {
    "sequence_type": "a sequence",
    "map_type": "a map",
    "optional_type": "an optional value",
    "sparse_tensor_type": "a sparse tensor",
}
PLACEHOLDER = (1, 3, 224, 224)


def input_types(
    graph: GraphProto, given: Mapping[str, Shape]
) -> tuple[dict[str, TensorType], list[ModelError]]:
    """The type of every input that is no initializer, in the model's order; and of those that have none a
    DynamicShapeError, where a dimension is open and not given, or an UnsupportedTypeError.

    Raises ModelError where a given shape does not fit, or an input has more elements than any tensor may.
    """
    initializers = {tensor.name for tensor in graph.initializer}
    infos = {info.name: info for info in graph.input if info.name not in initializers}
    unknown = sorted(set(given) - set(infos))
    if unknown:
        raise ModelError(
            f"has no input {unknown[0]!r} to give a shape to; its inputs: {', '.join(infos) or 'none'}"
        )
    types: dict[str, TensorType] = {}
    obstacles: list[ModelError] = []
    for name, info in infos.items():
        try:
            types[name] = _type(info, given.get(name))
        except (DynamicShapeError, UnsupportedTypeError) as error:
            obstacles.append(error)
    return types, obstacles


def _type(info: ValueInfoProto, given: Shape | None) -> TensorType:
    if not info.type.HasField("tensor_type"):
        kind = KINDS.get(info.type.WhichOneof("value") or "", "no tensor")
        raise UnsupportedTypeError(
            f"input {info.name!r} is {kind}; export the model with tensors as its inputs"
        )
    tensor = info.type.tensor_type
    if tensor.elem_type not in CONVERTIBLE:
        raise UnsupportedTypeError(
            f"input {info.name!r} has elements of {type_name(tensor.elem_type)}; supported are float16 to float64, "
            "integers of 8 to 64 bits and bool; export the model with these"
        )
    shape = _shape(info, given)
    if math.prod(shape) > MAX_ELEMENTS:
        raise ModelError(
            f"input {info.name!r} of shape {_text(shape)} has more than {MAX_ELEMENTS} elements; make it smaller"
        )
    return TensorType(shape, str(helper.tensor_dtype_to_np_dtype(tensor.elem_type)))


def _shape(info: ValueInfoProto, given: Shape | None) -> Shape:
    tensor = info.type.tensor_type
    ranked = tensor.HasField("shape")
    declared = [dim.dim_value if dim.HasField("dim_value") else 0 for dim in tensor.shape.dim]
    if given is not None:
        if min(given, default=1) < 1 or (ranked and len(given) != len(declared)):
            raise ModelError(
                f"input {info.name!r} of {len(declared)} dimensions cannot take the shape {_text(given)}; "
                f"give `{_suggestion(info.name, declared)}`"
            )
        return tuple(int(dimension) for dimension in given)
    if not ranked or min(declared, default=1) < 1:
        names = [
            dim.dim_param or "?" if value < 1 else str(value)
            for dim, value in zip(tensor.shape.dim, declared, strict=True)
        ]
        raise DynamicShapeError(
            f"input {info.name!r} has no fixed shape ({','.join(names) or 'unknown rank'}); "
            f"give one, such as `{_suggestion(info.name, declared)}`"
        )
    return tuple(declared)


def _suggestion(name: str, declared: list[int]) -> str:
    """What to type: the declared dimensions, the open ones as an image network has them."""
    defaults = PLACEHOLDER if len(declared) in (0, 4) else (1,) * len(declared)
    fixed = declared or [0] * len(defaults)
    shape = tuple(value if value > 0 else default for value, default in zip(fixed, defaults, strict=True))
    return f"--shape {name}={_text(shape)}"


def _text(shape: Shape) -> str:
    return ",".join(str(dimension) for dimension in shape)
