"""Opening the database behind a store, and what its driver's errors mean to a user."""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, SQLAlchemyError

from microbench.errors import StoreError

BUSY_TIMEOUT_S = 10.0
_BUSY_PAUSE_S = 0.01
# What fails is raised too: an interrupt is not to be printed with a traceback as well.
logging.getLogger("sqlalchemy").addHandler(logging.NullHandler())
POSTGRESQL_DRIVER = "postgresql+psycopg"
DRIVER_REMEDY = (
    "install it (for PostgreSQL: pip install -e '.[postgresql]' in the project's directory), or name a SQLite "
    "file with --store"
)
_SQLITE_HEADER = b"SQLite format 3\0"

FileIdentity = tuple[int, int]

DAMAGED = "the file is damaged: restore it from a copy, or name another with --store"

_REMEDIES: dict[str, str] = {
    "SQLITE_FULL": "the disk is full: free some space and run again, samples already taken are kept",
    "SQLITE_READONLY": "it or its directory is read-only: make both writable, or name another with --store",
    "SQLITE_BUSY": "another process keeps it locked: wait for it to end, then run again",
    "SQLITE_LOCKED": "another process keeps it locked: wait for it to end, then run again",
    "SQLITE_NOTADB": "the file is not a SQLite database: name another with --store",
    "SQLITE_CORRUPT": DAMAGED,
    "SQLITE_CANTOPEN": "it cannot be opened: check that its directory exists and may be written",
    "SQLITE_IOERR": "reading or writing it failed: check the disk and its free space",
}

# By SQLSTATE (PostgreSQL documentation, appendix A).
_POSTGRESQL_REMEDIES: dict[str, str] = {
    "53100": "the server's disk is full: free some space and run again, samples already taken are kept",
    "53300": "the server has no connection left: end some others, then run again",
    "25006": "the server is read-only: name another with --store",
    "28": "the server refuses this user: check user and password of the URL",
    "3D000": "the server has no such database: make it with createdb, or correct the URL",
    "42501": "this user may not do that: grant it the right to create and write tables",
    "55P03": "another process keeps it locked: wait for it to end, then run again",
    "57P0": "the server was shut down: start it, then run again, samples already taken are kept",
    "08": "the connection broke: check the server, then run again, samples already taken are kept",
}
# What fails before there is a connection carries no SQLSTATE.
_UNSTATED_REMEDIES: dict[str, str] = {
    "password": _POSTGRESQL_REMEDIES["28"],
    "does not exist": _POSTGRESQL_REMEDIES["3D000"],
}


def place_of(url: URL) -> str:
    """How messages name the store: its file, or its URL without the password."""
    if url.get_backend_name() == "sqlite" and url.database:
        return f"store {url.database}"
    return f"store {url.render_as_string(hide_password=True)}"


def parse(url_or_path: str | Path) -> URL:
    """A database URL as it is, anything else as the path of a SQLite file."""
    text = str(url_or_path)
    if "://" not in text:
        return URL.create("sqlite", database=text)
    try:
        url = make_url(text)
    except ArgumentError as error:
        raise StoreError(
            f"store URL {text!r} is malformed: {error}; an example: postgresql://user@host/name"
        ) from error
    return url.set(drivername=POSTGRESQL_DRIVER) if url.drivername == "postgresql" else url


def connect(url: URL) -> Engine:
    """An engine, for SQLite files in WAL mode; each commit is on the disk before it returns."""
    _make_directory(url)
    try:
        if url.get_backend_name() != "sqlite":
            engine = create_engine(url, pool_pre_ping=True)
            if engine.dialect.name == "postgresql":
                event.listen(engine, "connect", _on_postgresql_connect)
            return engine
        _check_file(url)
        engine = create_engine(url, connect_args={"timeout": BUSY_TIMEOUT_S})
    except (NoSuchModuleError, ArgumentError, ImportError) as error:
        raise StoreError(f"{place_of(url)}: no driver: {error}; {DRIVER_REMEDY}") from error
    event.listen(engine, "connect", _on_connect)
    event.listen(engine, "begin", _on_begin)
    return engine


def file_identity(url: URL) -> FileIdentity | None:
    """Device and number of a SQLite file; None where there is none at its place, and for other databases."""
    path = _file(url)
    try:
        found = None if path is None else path.stat()
    except FileNotFoundError:
        return None
    return None if found is None else (found.st_dev, found.st_ino)


def rescue(url: URL, connection: Connection) -> str:
    """Writes what an open connection still holds of a file that is no longer at its place to another, and says so. Not
    to its place: journals of the old file may lie there still.
    """
    path = _file(url)
    assert path is not None, "databases without a file stay where they are"
    place = path.with_name(f"{path.name}.rescued")
    driver = connection.connection.driver_connection
    assert isinstance(driver, sqlite3.Connection)
    told = "its file was taken away or replaced while samples were added"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        driver.execute("VACUUM INTO ?", (str(place),))
    except (OSError, sqlite3.Error) as error:
        return f"{told}, and what it held cannot be written to {place}: {error}; run again"
    return f"{told}; all that it held was written to {place}: run again with that as --store"


@contextmanager
def explained(url: URL, doing: str) -> Iterator[None]:
    """Turns the driver's errors into StoreErrors that say what to do."""
    try:
        yield
    except DBAPIError as error:
        raise StoreError(f"{place_of(url)}: cannot {doing}: {remedy(error.orig)}") from error
    except SQLAlchemyError as error:
        raise StoreError(f"{place_of(url)}: cannot {doing}: {error}") from error
    except UnicodeDecodeError as error:  # of SQLite's own words about a damaged file
        raise StoreError(f"{place_of(url)}: cannot {doing}: {DAMAGED}") from error


def remedy(error: BaseException | None) -> str:
    """What a driver's error means and what to do about it."""
    name = str(getattr(error, "sqlite_errorname", ""))
    for prefix, text in _REMEDIES.items():
        if name.startswith(prefix):
            return f"{text} ({error})"
    if type(error).__module__.startswith("psycopg"):
        return _postgresql_remedy(error)
    return str(error)


def _postgresql_remedy(error: BaseException | None) -> str:
    """Longer codes before the classes that they belong to; the server's own words stay."""
    state = getattr(error, "sqlstate", None) or ""
    words = " ".join(str(error).split())
    for prefix, text in _POSTGRESQL_REMEDIES.items():
        if state.startswith(prefix):
            return f"{text} ({words})"
    for part, text in _UNSTATED_REMEDIES.items():
        if part in words:
            return f"{text} ({words})"
    return (
        f"the server cannot be reached or broke off: check that it runs, then run again ({words})"
        if (not state)
        else words
    )


def _file(url: URL) -> Path | None:
    """The file of a SQLite database, if it has one at a plain path."""
    name = url.database if url.get_backend_name() == "sqlite" else None
    return None if not name or name == ":memory:" or name.startswith("file:") else Path(name)


def _make_directory(url: URL) -> None:
    path = _file(url)
    if path is None:
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(
            f"{place_of(url)}: its directory cannot be made: {error}; name another with --store"
        ) from error


def _check_file(url: URL) -> None:
    """SQLite takes a file of a few bytes for an empty database and writes over it."""
    path = Path(url.database or "")
    if not path.is_file():
        return
    try:
        with path.open("rb") as file:
            start = file.read(len(_SQLITE_HEADER))
    except OSError as error:
        raise StoreError(
            f"{place_of(url)}: it cannot be read: {error.strerror}; name another with --store"
        ) from error
    if start and start != _SQLITE_HEADER:
        raise StoreError(f"{place_of(url)}: cannot open it: {_REMEDIES['SQLITE_NOTADB']}")


def _on_connect(connection: sqlite3.Connection, _record: Any) -> None:
    connection.isolation_level = None  # the driver's own BEGIN would come too late for "begin immediate"
    cursor = connection.cursor()
    _enter_wal(cursor)
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.close()


def _enter_wal(cursor: sqlite3.Cursor) -> None:
    # SQLite waits for no lock here when waiting might be a deadlock: a file that another connection
    # is writing, or is taking to WAL as well, is reported busy at once, whatever the timeout.
    give_up = time.monotonic() + BUSY_TIMEOUT_S
    while True:
        try:
            cursor.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as error:
            if not error.sqlite_errorname.startswith("SQLITE_BUSY") or time.monotonic() >= give_up:
                raise
        time.sleep(_BUSY_PAUSE_S)


def _on_postgresql_connect(connection: Any, _record: Any) -> None:
    # A server may be set to answer before a commit is on its disk.
    connection.execute("SET synchronous_commit TO on")
    connection.commit()


def _on_begin(connection: Connection) -> None:
    # A writer takes the lock at once: upgrading a read transaction fails without waiting.
    writes = connection.get_execution_options().get("writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
