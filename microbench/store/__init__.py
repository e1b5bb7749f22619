"""The measurement store: append-only samples, keyed by candidate and board."""

from __future__ import annotations

from microbench.store.sample import Sample, Status
from microbench.store.store import SCHEMA_VERSION, Store

__all__ = ["SCHEMA_VERSION", "Sample", "Status", "Store"]
