"""Version 6: a sample has the revision of its algorithm; fingerprints are of boards alone, without a generator.

What older fingerprints say of the generator, the revision of all algorithms as a whole, becomes the revision of their
samples: no algorithm has it, so that none of them is taken for a sample of today's code, and nothing is lost.
"""

from __future__ import annotations

import hashlib
import json

from sqlalchemy import Column, Connection, MetaData, String, Table, Text, select, text, update

from microbench.errors import StoreError

GENERATOR = "generator"

SAMPLES = Table(
    "samples",
    MetaData(),
    Column("fingerprint_hash", String(64), nullable=False),
    Column("fingerprint_json", Text, nullable=False),
    Column("revision", String(64), nullable=False),
)


def migrate(connection: Connection) -> None:
    """Adds the column and parts every fingerprint; raises StoreError for one that is not what its version wrote."""
    connection.execute(text("ALTER TABLE samples ADD COLUMN revision VARCHAR(64) NOT NULL DEFAULT ''"))
    for old in connection.scalars(select(SAMPLES.c.fingerprint_json).distinct()).all():
        new, new_hash, revision = without_generator(old)
        connection.execute(
            update(SAMPLES)
            .where(SAMPLES.c.fingerprint_json == old)
            .values(fingerprint_json=new, fingerprint_hash=new_hash, revision=revision)
        )


def without_generator(fingerprint_json: str) -> tuple[str, str, str]:
    """A fingerprint of version 5 in the canonical form of version 6, its hash, and the generator it named."""
    try:
        fingerprint = json.loads(fingerprint_json)
        generator = fingerprint.pop(GENERATOR, "")
    except (ValueError, AttributeError) as error:
        raise StoreError(
            f"a fingerprint of the store is malformed: {error}; restore the store from a copy, "
            "or name another with --store"
        ) from error
    new = json.dumps(fingerprint, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return new, hashlib.sha256(new.encode()).hexdigest(), str(generator)
