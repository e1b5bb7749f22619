"""The store's tables and how a database becomes one, or is refused."""

from __future__ import annotations

from sqlalchemy import (
    CheckConstraint,
    Column,
    Connection,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    inspect,
)
from sqlalchemy import insert as insert_row
from sqlalchemy import select as select_rows
from sqlalchemy.schema import CreateIndex, CreateTable

from microbench.errors import StoreError

SCHEMA_VERSION = 1

METADATA = MetaData()

VERSION = Table(
    "schema_version",
    METADATA,
    Column("id", Integer, CheckConstraint("id = 1"), primary_key=True),
    Column("version", Integer, nullable=False),
)

SAMPLES = Table(
    "samples",
    METADATA,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("candidate_hash", String(64), nullable=False),
    Column("candidate_json", Text, nullable=False),
    Column("fingerprint_hash", String(64), nullable=False),
    Column("fingerprint_json", Text, nullable=False),
    Column("kind", String(16), nullable=False),
    Column("status", String(8), nullable=False),
    Column("times_s", Text, nullable=False),
    Column("work_json", Text, nullable=False),
    Column("counters_json", Text, nullable=False),
    Column("output_sha256", String(64), nullable=False),
    Column("message", Text, nullable=False),
    sqlite_autoincrement=True,
)

BY_KEY = Index("samples_by_key", SAMPLES.c.fingerprint_hash, SAMPLES.c.candidate_hash)


def is_initialised(connection: Connection, place: str) -> bool:
    """Whether the database is a store of this version; False for an empty one.

    Raises StoreError for a store of another version and for a database that is something else.
    """
    tables = set(inspect(connection).get_table_names())
    if VERSION.name not in tables:
        if tables:
            raise StoreError(
                f"{place} is a database of something else (tables {', '.join(sorted(tables)[:5])}); "
                "name another file with --store"
            )
        return False
    versions = [row.version for row in connection.execute(select_rows(VERSION.c.version))]
    if versions != [SCHEMA_VERSION]:
        found = ", ".join(map(str, versions)) or "none"
        raise StoreError(
            f"{place} has store version {found}, this program reads version {SCHEMA_VERSION}; "
            "name another file with --store, or use the program version that wrote it"
        )
    return True


def initialise(connection: Connection) -> None:
    """Creates the tables; harmless where another process has just done so."""
    for table in (VERSION, SAMPLES):
        connection.execute(CreateTable(table, if_not_exists=True))
    connection.execute(CreateIndex(BY_KEY, if_not_exists=True))
    if connection.execute(select_rows(VERSION.c.version)).first() is None:
        connection.execute(insert_row(VERSION).values(id=1, version=SCHEMA_VERSION))
