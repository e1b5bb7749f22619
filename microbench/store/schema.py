"""The store's tables and how a database becomes one, is brought up to date, or is refused."""

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
    func,
    inspect,
)
from sqlalchemy import insert as insert_row
from sqlalchemy import select as select_rows
from sqlalchemy import update as update_rows
from sqlalchemy.schema import CreateIndex, CreateTable

from microbench.errors import StoreError
from microbench.store.migrations import STEPS
from microbench.store.seal import SEAL

SCHEMA_VERSION = 11

METADATA = MetaData()
_ADVISORY_LOCK = 0x65787065  # any number that no other program on the same server takes

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
    Column("conditions_json", Text, nullable=False),
    Column("role", String(16), nullable=False),
    Column("context", Text, nullable=False),
    Column("series_json", Text, nullable=False),
    Column("revision", String(64), nullable=False),
    Column("class_hash", String(64), nullable=False),
    Column("normalisation_json", Text, nullable=False),
    Column(SEAL, String(64), nullable=False),
    sqlite_autoincrement=True,
)

PROGRAMS = Table(
    "programs",
    METADATA,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("made_by", String(64), nullable=False),
    Column("candidate_hash", String(64), nullable=False),
    Column("digest", String(64), nullable=False),
    Column(SEAL, String(64), nullable=False),
    sqlite_autoincrement=True,
)

ROUNDS = Table(
    "rounds",
    METADATA,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("key", String(64), nullable=False),
    Column("content", Text, nullable=False),
    Column(SEAL, String(64), nullable=False),
    sqlite_autoincrement=True,
)

BY_ROUND = Index("rounds_by_key", ROUNDS.c.key)
BY_MAKER = Index("programs_by_maker", PROGRAMS.c.made_by)
BY_KEY = Index("samples_by_key", SAMPLES.c.fingerprint_hash, SAMPLES.c.candidate_hash)
BY_CLASS = Index("samples_by_class", SAMPLES.c.class_hash)


def version_of(connection: Connection, place: str) -> int:
    """The version of the store in the database; 0 for an empty database.

    Raises StoreError for a store of a version that this program cannot read or bring up to date, and for a
    database that is something else.
    """
    tables = set(inspect(connection).get_table_names())
    if VERSION.name not in tables:
        if tables:
            raise StoreError(
                f"{place} is a database of something else (tables {', '.join(sorted(tables)[:5])}); "
                "name another with --store"
            )
        return 0
    versions = [row.version for row in connection.execute(select_rows(VERSION.c.version))]
    if len(versions) != 1 or not isinstance(versions[0], int) or not 1 <= versions[0] <= SCHEMA_VERSION:
        found = ", ".join(map(str, versions)) or "none"
        raise StoreError(
            f"{place} has store version {found}, this program reads version {SCHEMA_VERSION} and those before; "
            "name another with --store, or use the program version that wrote it"
        )
    return int(versions[0])


def bring_up_to_date(connection: Connection, place: str) -> None:
    """Creates the tables, or takes every step from the version found; harmless where another process just did.

    Runs within one transaction that no other process can hold at once.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(select_rows(func.pg_advisory_xact_lock(_ADVISORY_LOCK)))
    version = version_of(connection, place)
    if version == 0:
        _create(connection)
        return
    for step in range(version + 1, SCHEMA_VERSION + 1):
        STEPS[step](connection)
        connection.execute(update_rows(VERSION).values(version=step))


def _create(connection: Connection) -> None:
    for table in (VERSION, SAMPLES, PROGRAMS, ROUNDS):
        connection.execute(CreateTable(table))
    for index in (BY_KEY, BY_CLASS, BY_MAKER, BY_ROUND):
        connection.execute(CreateIndex(index))
    connection.execute(insert_row(VERSION).values(id=1, version=SCHEMA_VERSION))
