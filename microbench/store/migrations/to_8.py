"""Version 8: rounds of searches, so that what to measure is not worked out again where it was measured already."""

from __future__ import annotations

from sqlalchemy import Column, Connection, Index, Integer, MetaData, String, Table, Text
from sqlalchemy.schema import CreateIndex, CreateTable

ROUNDS = Table(
    "rounds",
    MetaData(),
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("key", String(64), nullable=False),
    Column("content", Text, nullable=False),
    sqlite_autoincrement=True,
)
BY_ROUND = Index("rounds_by_key", ROUNDS.c.key)


def migrate(connection: Connection) -> None:
    """Adds the table, empty: a round is kept when it is asked."""
    connection.execute(CreateTable(ROUNDS))
    connection.execute(CreateIndex(BY_ROUND))
