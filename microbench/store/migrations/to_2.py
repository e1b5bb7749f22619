"""Version 2: readings and role of every sample; fingerprints with serial hash, kernel, runner and CPU clock.

Describes both versions by itself: today's classes may have changed since.
"""

from __future__ import annotations

import hashlib
import json

from sqlalchemy import Column, Connection, MetaData, String, Table, Text, select, text, update

from microbench.errors import StoreError

NEW_COLUMNS = (
    "conditions_json TEXT NOT NULL DEFAULT '[]'",
    "role VARCHAR(16) NOT NULL DEFAULT 'candidate'",
)
UNKNOWN = {"cpu_clock_hz": 0.0, "kernel": "", "runner": "", "serial_hash": ""}

SAMPLES = Table(
    "samples",
    MetaData(),
    Column("fingerprint_hash", String(64), nullable=False),
    Column("fingerprint_json", Text, nullable=False),
)


def migrate(connection: Connection) -> None:
    """Adds the columns; what older samples do not say about their board is filed as unknown, under the new hash.

    Raises StoreError for a fingerprint that is not what its version wrote.
    """
    for column in NEW_COLUMNS:
        connection.execute(text(f"ALTER TABLE samples ADD COLUMN {column}"))
    for old in connection.scalars(select(SAMPLES.c.fingerprint_json).distinct()).all():
        new = with_unknowns(old)
        connection.execute(
            update(SAMPLES)
            .where(SAMPLES.c.fingerprint_json == old)
            .values(fingerprint_json=new, fingerprint_hash=hashlib.sha256(new.encode()).hexdigest())
        )


def with_unknowns(fingerprint_json: str) -> str:
    """A fingerprint of version 1 in the canonical form of version 2."""
    try:
        fingerprint = {**UNKNOWN, **json.loads(fingerprint_json)}
    except (ValueError, TypeError) as error:
        raise StoreError(
            f"a fingerprint of the store is malformed: {error}; restore the store from a copy, "
            "or name another with --store"
        ) from error
    return json.dumps(fingerprint, sort_keys=True, separators=(",", ":"), allow_nan=False)
