"""The measurement store: append-only samples, keyed by candidate and board."""

from __future__ import annotations

from microbench.store.sample import Normalisation, Role, Sample, Status, content_digest, from_row, to_row
from microbench.store.store import SCHEMA_VERSION, ProgramDigest, Store

__all__ = [
    "SCHEMA_VERSION",
    "Normalisation",
    "ProgramDigest",
    "Role",
    "Sample",
    "Status",
    "Store",
    "content_digest",
    "from_row",
    "to_row",
]
