"""Layer specs and choices as fields of the plan file: their canonical form, with a JSON Schema of it."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import PlainSerializer, PlainValidator, WithJsonSchema

from codegen.canonical import plain
from codegen.errors import CanonicalFormError
from codegen.graph import LayerSpec
from codegen.revive import revive_as
from codegen.schedule import Choice


def _revived(kind: type[Any]) -> PlainValidator:
    def validate(value: Any) -> Any:
        if isinstance(value, kind):
            return value
        try:
            return revive_as(kind, value)
        except CanonicalFormError as error:
            raise ValueError(str(error)) from error

    return PlainValidator(validate)


_PAIRS = {
    "type": "array",
    "items": {
        "type": "array",
        "prefixItems": [{"type": "string"}, {"type": ["integer", "string"]}],
        "minItems": 2,
        "maxItems": 2,
    },
}
_TEXT = {"type": "string"}
_TENSOR_SCHEMA = {
    "type": "object",
    "properties": {
        "type": {"const": "TensorType"},
        "shape": {"type": "array", "items": {"type": "integer", "minimum": 1}},
        "dtype": _TEXT,
    },
    "required": ["type", "shape", "dtype"],
    "additionalProperties": False,
}
_SPEC_SCHEMA = {
    "type": "object",
    "description": "What the layer computes, in the canonical form of codegen.graph.LayerSpec",
    "properties": {
        "type": {"const": "LayerSpec"},
        "op": {"type": "object", "properties": {"type": _TEXT}, "required": ["type"]},
        "inputs": {"type": "array", "items": _TENSOR_SCHEMA},
        "outputs": {"type": "array", "items": _TENSOR_SCHEMA, "minItems": 1},
        "weights": {"type": "array", "items": _TENSOR_SCHEMA},
    },
    "required": ["type", "op", "inputs", "outputs", "weights"],
    "additionalProperties": False,
}
_CHOICE_SCHEMA = {
    "type": "object",
    "description": "How the layer is computed, in the canonical form of codegen.schedule.Choice",
    "properties": {
        "type": {"const": "Choice"},
        "engine": {
            "type": "string",
            "description": "name of the engine that runs it: cpu, videocore4, a plug-in's",
        },
        "algorithm": _TEXT,
        "split": _PAIRS,
        "tile": _PAIRS,
        "input_layouts": {"type": "array", "items": _TEXT},
        "output_layouts": {"type": "array", "items": _TEXT, "minItems": 1},
        "precision": _TEXT,
    },
    "required": [
        "type",
        "engine",
        "algorithm",
        "split",
        "tile",
        "input_layouts",
        "output_layouts",
        "precision",
    ],
    "additionalProperties": False,
}

SpecField = Annotated[
    LayerSpec,
    _revived(LayerSpec),
    PlainSerializer(plain, return_type=dict[str, Any]),
    WithJsonSchema(_SPEC_SCHEMA),
]
ChoiceField = Annotated[
    Choice,
    _revived(Choice),
    PlainSerializer(plain, return_type=dict[str, Any]),
    WithJsonSchema(_CHOICE_SCHEMA),
]
