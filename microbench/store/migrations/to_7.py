"""Version 7: digests of programs, so that candidates of one program are told without making it again."""

from __future__ import annotations

from sqlalchemy import Column, Connection, Index, Integer, MetaData, String, Table
from sqlalchemy.schema import CreateIndex, CreateTable

PROGRAMS = Table(
    "programs",
    MetaData(),
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("made_by", String(64), nullable=False),
    Column("candidate_hash", String(64), nullable=False),
    Column("digest", String(64), nullable=False),
    sqlite_autoincrement=True,
)
BY_MAKER = Index("programs_by_maker", PROGRAMS.c.made_by)


def migrate(connection: Connection) -> None:
    """Adds the table, empty: digests are made when they are asked for."""
    connection.execute(CreateTable(PROGRAMS))
    connection.execute(CreateIndex(BY_MAKER))
