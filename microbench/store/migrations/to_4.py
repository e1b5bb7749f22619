"""Version 4: series of readings of every sample; older ones have none."""

from __future__ import annotations

from sqlalchemy import Connection, text


def migrate(connection: Connection) -> None:
    """Adds the column."""
    connection.execute(text("ALTER TABLE samples ADD COLUMN series_json TEXT NOT NULL DEFAULT '[]'"))
