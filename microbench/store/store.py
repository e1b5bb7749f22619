"""The append-only store: what was measured stays, and nothing is measured twice."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from sqlalchemy import URL, Connection, Engine, Select, func
from sqlalchemy import insert as insert_row
from sqlalchemy import select as select_rows

from codegen.errors import CanonicalFormError
from codegen.revive import revive_json
from microbench.board import Fingerprint
from microbench.errors import StoreError
from microbench.store.database import (
    DAMAGED,
    FileIdentity,
    connect,
    explained,
    file_identity,
    parse,
    place_of,
    rescue,
)
from microbench.store.sample import Sample, from_row, to_row
from microbench.store.schema import PROGRAMS, ROUNDS, SAMPLES, SCHEMA_VERSION, bring_up_to_date, version_of
from microbench.store.seal import check_seal, sealed

__all__ = ["SCHEMA_VERSION", "Store"]

PAGE_ROWS = 500


@dataclass(frozen=True)
class ProgramDigest:
    """What program a candidate is; `made_by`: a digest of all that decides it beside the candidate."""

    made_by: str
    candidate_hash: str
    digest: str


class Store:
    """Samples keyed by candidate and fingerprint, digests of programs, rounds of searches. There is no way to change or
    delete one.

    Every method raises StoreError where the database fails: full, read-only, locked, damaged.
    """

    def __init__(self, engine: Engine, url: URL, file: FileIdentity | None = None) -> None:
        self._engine = engine
        self._url = url
        self._file = file

    @classmethod
    def open(cls, url_or_path: str | Path) -> Store:
        """Opens a SQLite file (made if absent) or a database URL; a store of an older version is brought up to date.

        Raises StoreError for a store of a later version, a file that is no store, a driver that is missing.
        """
        url = parse(url_or_path)
        engine = connect(url)
        store = cls(engine, url)
        try:
            store._prepare()
            store._file = file_identity(url)
        except StoreError:
            store.close()
            raise
        return store

    def add(self, sample: Sample) -> int:
        """Appends a sample and returns its id; it is on the disk when this returns."""
        row = sealed(to_row(sample))
        with self._writing("append a sample") as writer:
            key = writer.execute(insert_row(SAMPLES).values(**row)).inserted_primary_key
        if key is None:
            raise StoreError(f"{place_of(self._url)}: the database gave a new sample no id")
        return int(key[0])

    def find(self, candidate_hash: str, fingerprint_hash: str) -> tuple[Sample, ...]:
        """Every sample of a candidate on a board, oldest first; empty when there is none."""
        query = select_rows(SAMPLES).where(
            SAMPLES.c.candidate_hash == candidate_hash, SAMPLES.c.fingerprint_hash == fingerprint_hash
        )
        found = tuple(from_row(row) for row in self._whole_rows(query.order_by(SAMPLES.c.id)))
        if any((s.candidate_hash, s.fingerprint_hash) != (candidate_hash, fingerprint_hash) for s in found):
            raise StoreError(f"{place_of(self._url)}: cannot read it: {DAMAGED}")
        return found

    def samples(
        self, fingerprint_hash: str | None = None, *, class_hash: str | None = None
    ) -> Iterator[Sample]:
        """Every sample of a board or of a class of boards, None: of all, in the order they were taken; holds no lock
        between pages.
        """
        last_id = 0
        while True:
            query = select_rows(SAMPLES).where(SAMPLES.c.id > last_id)
            if fingerprint_hash is not None:
                query = query.where(SAMPLES.c.fingerprint_hash == fingerprint_hash)
            if class_hash is not None:
                query = query.where(SAMPLES.c.class_hash == class_hash)
            page = self._whole_rows(query.order_by(SAMPLES.c.id).limit(PAGE_ROWS))
            yield from (from_row(row) for row in page)
            if len(page) < PAGE_ROWS:
                return
            last_id = page[-1]["id"]

    def add_programs(self, programs: Sequence[ProgramDigest]) -> None:
        """Appends digests, all or none; two of one candidate and maker are equal."""
        if not programs:
            return
        with self._writing("append digests of programs") as writer:
            writer.execute(insert_row(PROGRAMS), [sealed(asdict(program)) for program in programs])

    def programs(self, made_by: str) -> tuple[ProgramDigest, ...]:
        """All digests of what this made."""
        query = select_rows(PROGRAMS).where(PROGRAMS.c.made_by == made_by).order_by(PROGRAMS.c.id)
        return tuple(
            ProgramDigest(row["made_by"], row["candidate_hash"], row["digest"])
            for row in self._whole_rows(query)
            if row["made_by"] == made_by
        )

    def add_round(self, key: str, content: str) -> None:
        """Appends what a search asked for in a round; two of one key are equal."""
        with self._writing("append a round") as writer:
            writer.execute(insert_row(ROUNDS).values(**sealed({"key": key, "content": content})))

    def round(self, key: str) -> str | None:
        """The round with this key; None where there is none."""
        query = select_rows(ROUNDS).where(ROUNDS.c.key == key).order_by(ROUNDS.c.id).limit(1)
        rows = [row for row in self._whole_rows(query) if row["key"] == key]
        return str(rows[0]["content"]) if rows else None

    def fingerprints(self) -> tuple[Fingerprint, ...]:
        """The boards that have samples, in the order of their first one."""
        query = (
            select_rows(SAMPLES.c.fingerprint_json, SAMPLES.c.fingerprint_hash)
            .group_by(SAMPLES.c.fingerprint_json, SAMPLES.c.fingerprint_hash)
            .order_by(func.min(SAMPLES.c.id))
        )
        found = []
        for row in self._rows(query):
            try:
                fingerprint = revive_json(Fingerprint, row["fingerprint_json"], {"Fingerprint": Fingerprint})
            except (CanonicalFormError, TypeError) as error:
                raise StoreError(f"{place_of(self._url)}: malformed fingerprint: {error}") from error
            if fingerprint.hash != row["fingerprint_hash"]:
                raise StoreError(f"{place_of(self._url)}: cannot read it: {DAMAGED}")
            found.append(fingerprint)
        return tuple(found)

    def count(self) -> int:
        """How many samples there are, of all boards."""
        return int(self._rows(select_rows(func.count().label("samples")).select_from(SAMPLES))[0]["samples"])

    def close(self) -> None:
        """Releases the database; samples are on the disk already."""
        self._engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @contextmanager
    def _writing(self, doing: str) -> Iterator[Connection]:
        """A transaction that is committed, to a file that is still where it was."""
        with explained(self._url, doing), self._engine.connect() as connection:
            writer = connection.execution_options(writes=True)
            with writer.begin():
                yield writer
            if file_identity(self._url) != self._file:
                raise StoreError(f"{place_of(self._url)}: {rescue(self._url, connection)}")

    def _prepare(self) -> None:
        place = place_of(self._url)
        with explained(self._url, "open it"), self._engine.connect() as connection:
            with connection.begin():
                version = version_of(connection, place)
            if version == SCHEMA_VERSION:
                return
            writer = connection.execution_options(writes=True)
            with writer.begin():
                bring_up_to_date(writer, place)

    def _whole_rows(self, query: Select[Any]) -> list[dict[str, Any]]:
        """Rows of which every column is read, each as it was written."""
        rows = self._rows(query)
        for row in rows:
            check_seal(row, place_of(self._url))
        return rows

    def _rows(self, query: Select[Any]) -> list[dict[str, Any]]:
        with explained(self._url, "read it"), self._engine.connect() as connection, connection.begin():
            return [dict(row) for row in connection.execute(query).mappings()]
