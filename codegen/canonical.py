"""One canonical JSON form of frozen dataclasses: what content hashes are taken over."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from functools import cache
from typing import Any


def plain(value: Any) -> Any:
    """Dataclasses as `{"type": name, fields...}`, tuples as lists, scalars unchanged."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    kind: Any = type(value)
    names = _field_names(kind)
    if names is not None:
        return {"type": kind.__name__, **{name: plain(getattr(value, name)) for name in names}}
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in sorted(value.items())}
    raise TypeError(f"no canonical form for {type(value).__name__}")


def canonical_json(value: Any) -> str:
    """Sorted keys, no white space, shortest round-trip floats."""
    return json.dumps(plain(value), sort_keys=True, separators=(",", ":"), allow_nan=False)


def content_hash(value: Any) -> str:
    """SHA-256 of the canonical JSON, as 64 hexadecimal digits."""
    return text_hash(canonical_json(value))


def text_hash(canonical: str) -> str:
    """The content hash of a value whose canonical JSON is known."""
    return hashlib.sha256(canonical.encode()).hexdigest()


@cache
def _field_names(kind: Any) -> tuple[str, ...] | None:
    """Of a dataclass; None for any other class."""
    if not dataclasses.is_dataclass(kind):
        return None
    return tuple(field.name for field in dataclasses.fields(kind))
