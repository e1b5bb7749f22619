"""What an ONNX model says, as one hash: the same however the file stores it, and whatever holds it once imported."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from google.protobuf.message import Message
from onnx import ModelProto, TensorProto

from codegen.canonical import content_hash
from codegen.errors import ModelError
from codegen.onnx_import.tensors import to_array

# Of who made the file and how, and of what can be derived: none of it changes what the model computes.
_SILENT = frozenset(
    {
        "doc_string",
        "ir_version",
        "metadata_props",
        "model_version",
        "producer_name",
        "producer_version",
        "quantization_annotation",
        "training_info",
        "value_info",
    }
)
_ORDERED_BY_NAME = frozenset({"attribute", "initializer", "functions", "opset_import"})


def model_sha256(model: ModelProto, directory: Path, shapes: Mapping[str, tuple[int, ...]]) -> str:
    """64 hexadecimal digits over nodes, attributes, constants and the `shapes` that its inputs were given.

    External data are read from `directory`; a tensor that cannot be read as an array counts as it is stored.
    """
    given = {name: list(shape) for name, shape in shapes.items()}
    return content_hash([_form(model, directory), given])


def _form(value: Any, directory: Path) -> Any:
    """Of a message or a field's value: lists and texts alone."""
    if isinstance(value, TensorProto):
        return _tensor(value, directory)
    if isinstance(value, Message):
        return [
            [field.name, _field(field.name, content, directory)]
            for field, content in value.ListFields()
            if field.name not in _SILENT
        ]
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, float):
        return value.hex()  # infinities and NaN have no other form
    return value


def _field(name: str, content: Any, directory: Path) -> Any:
    if isinstance(content, str | bytes | Message | int | float):
        return _form(content, directory)
    forms = [_form(item, directory) for item in content]
    return sorted(forms, key=repr) if name in _ORDERED_BY_NAME else forms


def _tensor(tensor: TensorProto, directory: Path) -> list[Any]:
    try:
        array = np.ascontiguousarray(to_array(tensor, "tensor", directory))
        data = array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes()
    except ModelError:
        data = tensor.SerializeToString(deterministic=True)
    digest = hashlib.sha256(data).hexdigest()
    return [tensor.name, list(tensor.dims), tensor.data_type, digest]
