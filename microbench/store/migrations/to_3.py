"""Version 3: where in which network a sample was timed; older ones were timed alone."""

from __future__ import annotations

from sqlalchemy import Connection, text


def migrate(connection: Connection) -> None:
    """Adds the column."""
    connection.execute(text("ALTER TABLE samples ADD COLUMN context TEXT NOT NULL DEFAULT ''"))
