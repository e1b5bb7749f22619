"""Version 10: a checksum in every row. Older rows are sealed as they are: damage of before does not show."""

from __future__ import annotations

import hashlib
import json

from sqlalchemy import Column, Connection, Integer, MetaData, String, Table, Text, select, text, update

METADATA = MetaData()
COLUMNS = {
    "samples": (
        "candidate_hash",
        "candidate_json",
        "conditions_json",
        "context",
        "counters_json",
        "fingerprint_hash",
        "fingerprint_json",
        "kind",
        "message",
        "output_sha256",
        "revision",
        "role",
        "series_json",
        "status",
        "times_s",
        "work_json",
    ),
    "programs": ("candidate_hash", "digest", "made_by"),
    "rounds": ("content", "key"),
}


def migrate(connection: Connection) -> None:
    """Adds the column to each table and fills it."""
    for name, columns in COLUMNS.items():
        connection.execute(text(f"ALTER TABLE {name} ADD COLUMN row_sha256 VARCHAR(64) NOT NULL DEFAULT ''"))
        table = Table(
            name,
            METADATA,
            Column("id", Integer, primary_key=True),
            *(Column(column, Text) for column in columns),
            Column("row_sha256", String(64)),
            extend_existing=True,
        )
        for row in connection.execute(select(table).order_by(table.c.id)).mappings().all():
            content = json.dumps([(column, row[column]) for column in columns], default=repr)
            seal = hashlib.sha256(content.encode()).hexdigest()
            connection.execute(update(table).where(table.c.id == row["id"]).values(row_sha256=seal))
