"""One canonical JSON form of frozen dataclasses: what content hashes are taken over."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from functools import cache
from typing import Any

OPTIONAL = {"optional": "no part of canonical forms where it is None"}
"""Metadata of a field that is younger than forms in stores and plans: those of things without it stay what they are."""

_encoded = json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False).encode
_SCALARS = frozenset({type(None), bool, int, float, str})


def plain(value: Any) -> Any:
    """Dataclasses as `{"type": name, fields...}`, tuples as lists, scalars unchanged."""
    kind: Any = type(value)
    if kind in _SCALARS or isinstance(value, (int, float, str)):
        return value
    if isinstance(value, (list, tuple)):
        return [item if type(item) in _SCALARS else plain(item) for item in value]
    names = _field_names(kind)
    if names is not None:
        content = {"type": kind.__name__, **{name: plain(getattr(value, name)) for name in names}}
        for name in _optional_names(kind):
            if content[name] is None:
                del content[name]
        return content
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in sorted(value.items())}
    raise TypeError(f"no canonical form for {type(value).__name__}")


def canonical_json(value: Any) -> str:
    """Sorted keys, no white space, shortest round-trip floats."""
    return _encoded(plain(value))


def content_hash(value: Any) -> str:
    """SHA-256 of the canonical JSON, as 64 hexadecimal digits."""
    return text_hash(canonical_json(value))


def text_hash(canonical: str) -> str:
    """The content hash of a value whose canonical JSON is known."""
    return hashlib.sha256(canonical.encode()).hexdigest()


def is_optional(field: dataclasses.Field[Any]) -> bool:
    """Whether canonical forms lack the field where it is None."""
    return field.metadata.keys() >= OPTIONAL.keys()


@cache
def _optional_names(kind: Any) -> tuple[str, ...]:
    return tuple(field.name for field in dataclasses.fields(kind) if is_optional(field))


@cache
def _field_names(kind: Any) -> tuple[str, ...] | None:
    """Of a dataclass; None for any other class."""
    if not dataclasses.is_dataclass(kind):
        return None
    return tuple(field.name for field in dataclasses.fields(kind))
