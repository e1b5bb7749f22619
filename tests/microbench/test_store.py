"""The store keeps every sample, gives it back equal, and says what is wrong when it cannot."""

from __future__ import annotations

import sqlite3
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import event

from microbench.board import Measurement
from microbench.errors import StoreError
from microbench.store import SCHEMA_VERSION, Sample, Store, content_digest
from microbench.store.migrations import STEPS
from tests.microbench.measured import FINGERPRINT, cpu_job, sample
from tests.microbench.store_conformance import POWER, READINGS, StoreConformance

DIGEST = "55a93253c347e07e1233c3fd6b6be88e1b4bfe538af8206cde8bdda781c28868"


class TestSqliteStore(StoreConformance):
    """A file that is not there yet."""

    @pytest.fixture
    def place(self, tmp_path: Path) -> str:
        return str(tmp_path / "store.sqlite")


def raw(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path)


def test_measurements_become_samples() -> None:
    job = cpu_job()
    output = job.inputs[0]
    ok = Sample.of(job, FINGERPRINT, Measurement((3.0, 1.0, 2.0), "host", output, {"pages": 1.0}))
    assert (ok.time_s, ok.status, len(ok.output_sha256)) == (2.0, "ok", 64)
    assert Sample.of(job, FINGERPRINT, Measurement((1.0,), "host")).output_sha256 == ""
    assert Sample.of(job, FINGERPRINT, Measurement((1.0,), "host", series=(POWER,))).series == (POWER,)
    failed = Sample.failed(job, FINGERPRINT, "host", "it crashed")
    assert (failed.times_s, failed.status, failed.message) == ((), "failed", "it crashed")


@pytest.mark.parametrize("times", [(), (float("nan"),), (-1.0,)])
def test_a_sample_that_says_nothing_is_refused(times: tuple[float, ...]) -> None:
    with pytest.raises(StoreError, match="time"):
        sample(times_s=times)


@pytest.mark.parametrize("is_replaced", [False, True])
def test_a_file_that_vanishes_is_an_error_that_loses_nothing(tmp_path: Path, is_replaced: bool) -> None:
    path = tmp_path / "samples.sqlite"
    with Store.open(path) as store:
        store.add(sample())
        path.unlink()
        if is_replaced:
            path.write_bytes(b"")
        with pytest.raises(StoreError, match=r"taken away or replaced.*samples\.sqlite\.rescued: run again"):
            store.add(sample())
    with Store.open(tmp_path / "samples.sqlite.rescued") as rescued:
        assert rescued.count() == 2


def test_a_file_that_vanishes_where_nothing_can_be_written_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "samples.sqlite"
    (tmp_path / "samples.sqlite.rescued").write_text("somebody else's")
    with Store.open(path) as store:
        path.unlink()
        with pytest.raises(StoreError, match="cannot be written"):
            store.add(sample())


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "s"
    path.write_text("candidate,time\n" * 100)
    with pytest.raises(StoreError, match="not a SQLite database"):
        Store.open(path)
    assert path.read_text().startswith("candidate,time")


def test_a_full_disk_is_an_error_that_loses_nothing(tmp_path: Path) -> None:
    path = tmp_path / "s"
    store = Store.open(path)
    pages = raw(path).execute("PRAGMA page_count").fetchone()[0]

    @event.listens_for(store._engine, "connect")
    def limit(connection: sqlite3.Connection, _record: object) -> None:
        connection.execute(
            f"PRAGMA max_page_count = {pages + 4}"
        )  # what SQLite answers when the disk is full

    store._engine.dispose()
    added = []
    with pytest.raises(StoreError, match=r"disk is full.*kept"):
        for n in range(1000):
            added.append(store.add(sample(n + 1)))
    assert added
    assert [s.id for s in store.samples(FINGERPRINT.hash)] == added
    store.close()
    with Store.open(path) as again:
        assert again.count() == len(added)


def test_a_locked_store_names_the_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("microbench.store.database.BUSY_TIMEOUT_S", 0.05)
    path = tmp_path / "s"
    with Store.open(path) as store:
        store.add(sample(1))
        holder = raw(path)
        holder.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError, match="locked"):
            store.add(sample(2))
        assert store.count() == 1
        holder.rollback()
        store.add(sample(2))
        assert store.count() == 2


def written_by_another(path: Path) -> sqlite3.Connection:
    """A store that is not in WAL mode (copied, or restored from a dump), in the midst of a transaction."""
    Store.open(path).close()
    holder = sqlite3.connect(path, check_same_thread=False)
    assert holder.execute("PRAGMA journal_mode=DELETE").fetchone() == ("delete",)
    holder.execute("BEGIN IMMEDIATE")
    return holder


def test_a_store_waits_for_its_writer_before_it_enters_wal_mode(tmp_path: Path) -> None:
    path = tmp_path / "s"
    holder = written_by_another(path)
    release = threading.Timer(0.2, holder.rollback)
    release.start()
    with Store.open(path) as store:
        store.add(sample(1))
    release.join()
    assert raw(path).execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_a_store_whose_writer_never_ends_names_the_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("microbench.store.database.BUSY_TIMEOUT_S", 0.05)
    holder = written_by_another(tmp_path / "s")
    with pytest.raises(StoreError, match=r"locked.*wait for it to end"):
        Store.open(tmp_path / "s")
    holder.close()


def test_a_read_only_store_can_be_read_but_not_written(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with Store.open(path) as store:
        store.add(sample(1))
        with Store.open(f"sqlite:///file:{path}?mode=ro&uri=true") as reader:
            assert reader.count() == 1
            with pytest.raises(StoreError, match="read-only"):
                reader.add(sample(2))


def test_places_where_no_store_can_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="directory"):
        Store.open(tmp_path / "file" / "s")
    with pytest.raises(StoreError, match="malformed"):
        Store.open("://")
    with pytest.raises(StoreError, match="driver"):
        Store.open("nosuchdatabase://host/name")
    with pytest.raises(StoreError, match="opened"):
        Store.open(tmp_path)


def test_a_store_is_made_with_its_directory_and_logs_ahead(tmp_path: Path) -> None:
    path = tmp_path / "new" / "store.sqlite"
    with Store.open(path) as store:
        store.add(sample())
    assert raw(path).execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_every_version_has_its_step() -> None:
    assert list(STEPS) == list(range(2, SCHEMA_VERSION + 1))


def test_a_file_cut_short_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with Store.open(path) as store:
        for n in range(50):
            store.add(sample(n + 1))
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(StoreError, match="damaged"), Store.open(path) as store:
        list(store.samples())


def test_words_of_sqlite_that_are_no_text_are_damage(tmp_path: Path) -> None:
    """A name in the schema that is no UTF-8 gets into SQLite's message, and its driver cannot read that."""
    path = tmp_path / "s"
    Store.open(path).close()
    whole = path.read_bytes()
    path.write_bytes(whole.replace(b"CREATE TABLE samples", b"CREATE \xfaABLE samples"))
    with pytest.raises(StoreError, match="damaged"):
        Store.open(path)


def test_the_content_of_a_sample_is_all_but_its_id() -> None:
    first = sample()
    assert content_digest(replace(first, id=7)) == content_digest(first)
    others = (
        replace(first, times_s=(1e-3, 1e-3)),
        replace(first, conditions=READINGS),
        replace(first, role="disturbed"),
        replace(first, series=(POWER,)),
        replace(first, fingerprint=replace(FINGERPRINT, serial_hash="ab")),
        first.normalised(1.0, (1,), "a"),
    )
    assert len({content_digest(other) for other in (first, *others)}) == 7


def test_the_content_of_a_sample_is_told_as_runs_of_before_have_it() -> None:
    """They name what they learned from by these digests."""
    assert content_digest(sample()) == DIGEST
    assert content_digest(replace(sample(), fingerprint=replace(FINGERPRINT, serial_hash="ab"))) != DIGEST


@pytest.mark.parametrize("factor", [0.0, -1.0, float("inf"), float("nan")])
def test_a_factor_that_is_none_normalises_nothing(factor: float) -> None:
    with pytest.raises(StoreError, match="factor"):
        sample().normalised(factor, (), "a")


def test_the_driver_for_postgresql_may_be_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(StoreError, match=r"no driver.*pip install -e '\.\[postgresql\]'"):
        Store.open("postgresql://nobody@127.0.0.1/none")
