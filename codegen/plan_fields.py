"""Layer specs and choices as fields of the plan file: in their canonical form."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import PlainSerializer, PlainValidator

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


SpecField = Annotated[
    LayerSpec,
    _revived(LayerSpec),
    PlainSerializer(plain, return_type=dict[str, Any]),
]
ChoiceField = Annotated[
    Choice,
    _revived(Choice),
    PlainSerializer(plain, return_type=dict[str, Any]),
]
