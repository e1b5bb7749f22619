"""A checksum in every row: what a disk or another program changed in it is never taken for a measurement."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from microbench.errors import StoreError

SEAL = "row_sha256"
_APART = ("id", SEAL)  # the database gives the first


def seal_of(row: Mapping[str, Any]) -> str:
    """SHA-256 of the names and values of a row's columns, its number apart."""
    content = [(name, row[name]) for name in sorted(row) if name not in _APART]
    return hashlib.sha256(json.dumps(content, default=repr).encode()).hexdigest()


def sealed(row: Mapping[str, Any]) -> dict[str, Any]:
    """The row with its checksum."""
    return {**row, SEAL: seal_of(row)}


def check_seal(row: Mapping[str, Any], place: str) -> None:
    """Raises StoreError where a row of the database, all columns read, is not what was written."""
    if row[SEAL] != seal_of(row):
        raise StoreError(
            f"{place}: row {row['id']} is damaged: it does not have the checksum that it was written with; restore "
            "the store from a copy, or name another with --store"
        )
