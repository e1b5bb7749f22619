"""Opening the database behind a store, and what its driver's errors mean to a user."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, SQLAlchemyError

from microbench.errors import StoreError

BUSY_TIMEOUT_S = 10.0
_SQLITE_HEADER = b"SQLite format 3\0"

_REMEDIES: dict[str, str] = {
    "SQLITE_FULL": "the disk is full: free some space and run again, samples already taken are kept",
    "SQLITE_READONLY": "it or its directory is read-only: make both writable, or name another with --store",
    "SQLITE_BUSY": "another process keeps it locked: wait for it to end, then run again",
    "SQLITE_LOCKED": "another process keeps it locked: wait for it to end, then run again",
    "SQLITE_NOTADB": "the file is not a SQLite database: name another with --store",
    "SQLITE_CORRUPT": "the file is damaged: restore it from a copy, or name another with --store",
    "SQLITE_CANTOPEN": "it cannot be opened: check that its directory exists and may be written",
    "SQLITE_IOERR": "reading or writing it failed: check the disk and its free space",
}


def place_of(url: URL) -> str:
    """How messages name the store: its file, or its URL without the password."""
    return f"store {url.database}" if url.database else f"store {url.render_as_string(hide_password=True)}"


def parse(url_or_path: str | Path) -> URL:
    """A database URL as it is, anything else as the path of a SQLite file."""
    text = str(url_or_path)
    if "://" not in text:
        return URL.create("sqlite", database=text)
    try:
        return make_url(text)
    except ArgumentError as error:
        raise StoreError(
            f"store URL {text!r} is malformed: {error}; an example: postgresql://user@host/name"
        ) from error


def connect(url: URL) -> Engine:
    """An engine; for SQLite files in WAL mode, each commit on the disk before it returns."""
    _make_directory(url)
    try:
        if url.get_backend_name() != "sqlite":
            return create_engine(url)
        _check_file(url)
        engine = create_engine(url, connect_args={"timeout": BUSY_TIMEOUT_S})
    except (NoSuchModuleError, ArgumentError, ImportError) as error:
        raise StoreError(f"{place_of(url)}: no driver: {error}; install it or use a SQLite file") from error
    event.listen(engine, "connect", _on_connect)
    event.listen(engine, "begin", _on_begin)
    return engine


@contextmanager
def explained(url: URL, doing: str) -> Iterator[None]:
    """Turns the driver's errors into StoreErrors that say what to do."""
    try:
        yield
    except DBAPIError as error:
        raise StoreError(f"{place_of(url)}: cannot {doing}: {remedy(error.orig)}") from error
    except SQLAlchemyError as error:
        raise StoreError(f"{place_of(url)}: cannot {doing}: {error}") from error


def remedy(error: BaseException | None) -> str:
    """What a driver's error means and what to do about it."""
    name = str(getattr(error, "sqlite_errorname", ""))
    for prefix, text in _REMEDIES.items():
        if name.startswith(prefix):
            return f"{text} ({error})"
    return str(error)


def _make_directory(url: URL) -> None:
    if url.get_backend_name() != "sqlite" or not url.database or url.database == ":memory:":
        return
    if url.database.startswith("file:"):
        return
    try:
        Path(url.database).parent.mkdir(parents=True, exist_ok=True)
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
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.close()


def _on_begin(connection: Connection) -> None:
    # A writer takes the lock at once: upgrading a read transaction fails without waiting.
    writes = connection.get_execution_options().get("writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
