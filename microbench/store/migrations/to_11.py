"""Version 11: the class of a sample's board, which its instances share, and how times were normalised; older times are
as they were taken.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence

from sqlalchemy import Column, Connection, Index, Integer, MetaData, String, Table, Text, select, text, update
from sqlalchemy.schema import CreateIndex

from microbench.errors import StoreError

COLUMNS = (
    "candidate_hash",
    "candidate_json",
    "class_hash",
    "conditions_json",
    "context",
    "counters_json",
    "fingerprint_hash",
    "fingerprint_json",
    "kind",
    "message",
    "normalisation_json",
    "output_sha256",
    "revision",
    "role",
    "series_json",
    "status",
    "times_s",
    "work_json",
)
SAMPLES = Table(
    "samples",
    MetaData(),
    Column("id", Integer, primary_key=True),
    *(Column(column, Text) for column in COLUMNS),
    Column("row_sha256", String(64)),
)
BY_CLASS = Index("samples_by_class", SAMPLES.c.class_hash)
NEW_COLUMNS = (
    "class_hash VARCHAR(64) NOT NULL DEFAULT ''",
    "normalisation_json TEXT NOT NULL DEFAULT 'null'",
)
SEALED_BEFORE = tuple(name for name in COLUMNS if name not in ("class_hash", "normalisation_json"))


def migrate(connection: Connection) -> None:
    """Adds the columns and seals every row anew; raises StoreError for a fingerprint that is not what its version
    wrote, and for a row that was damaged before.
    """
    for column in NEW_COLUMNS:
        connection.execute(text(f"ALTER TABLE samples ADD COLUMN {column}"))
    connection.execute(CreateIndex(BY_CLASS))
    for found in connection.execute(select(SAMPLES).order_by(SAMPLES.c.id)).mappings().all():
        row = dict(found)
        if row["row_sha256"] != _seal(row, SEALED_BEFORE):
            raise StoreError(
                f"row {row['id']} of the store is damaged: it does not have the checksum that it was written with; "
                "restore the store from a copy, or name another with --store"
            )
        new = {**row, "class_hash": class_hash(row["fingerprint_json"])}
        connection.execute(
            update(SAMPLES)
            .where(SAMPLES.c.id == row["id"])
            .values(class_hash=new["class_hash"], row_sha256=_seal(new, COLUMNS))
        )


def class_hash(fingerprint_json: str) -> str:
    """Of a fingerprint of version 10: its hash without the serial number."""
    try:
        fingerprint = {**json.loads(fingerprint_json), "serial_hash": ""}
    except (ValueError, TypeError) as error:
        raise StoreError(
            f"a fingerprint of the store is malformed: {error}; restore the store from a copy, "
            "or name another with --store"
        ) from error
    text_ = json.dumps(fingerprint, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text_.encode()).hexdigest()


def _seal(row: Mapping[str, object], columns: Sequence[str]) -> str:
    content = json.dumps([(column, row[column]) for column in columns], default=repr)
    return hashlib.sha256(content.encode()).hexdigest()
