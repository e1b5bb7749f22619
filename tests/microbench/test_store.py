"""The store keeps every sample, gives it back equal, and says what is wrong when it cannot."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import event

from microbench.board import Measurement
from microbench.errors import StoreError
from microbench.store import SCHEMA_VERSION, Sample, Store
from tests.microbench.measured import FINGERPRINT, OTHER, candidate, cpu_job, sample


def raw(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path)


def test_a_sample_comes_back_equal_after_reopening(tmp_path: Path) -> None:
    path = tmp_path / "new" / "store.sqlite"
    written = sample(times_s=(1e-3, 0.1 + 0.2))
    with Store.open(path) as store:
        number = store.add(written)
    with Store.open(path) as store:
        (read,) = store.find(written.candidate_hash, written.fingerprint_hash)
    assert read.id == number
    assert read == Sample(**{**vars(written), "id": number})
    assert read.candidate.hash == candidate().hash


def test_find_and_samples_keep_boards_apart_and_order(tmp_path: Path) -> None:
    with Store.open(tmp_path / "s") as store:
        ids = [store.add(sample(n, FINGERPRINT if n % 2 else OTHER)) for n in (3, 2, 1, 4, 3)]
        assert ids == sorted(set(ids))
        assert [s.id for s in store.samples(FINGERPRINT.hash)] == [ids[0], ids[2], ids[4]]
        assert [s.id for s in store.find(candidate(3).hash, FINGERPRINT.hash)] == [ids[0], ids[4]]
        assert store.find(candidate(3).hash, OTHER.hash) == ()
        assert store.fingerprints() == (FINGERPRINT, OTHER)
        assert store.count() == 5


def test_samples_are_read_in_pages_while_others_are_added(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("microbench.store.store.PAGE_ROWS", 4)
    with Store.open(tmp_path / "s") as store:
        added = [store.add(sample(n + 1)) for n in range(7)]
        seen = store.samples(FINGERPRINT.hash)
        first = next(seen)
        added.append(store.add(sample(1)))
        assert [first.id, *(s.id for s in seen)] == added


def test_an_added_sample_is_on_disk_when_the_process_dies(tmp_path: Path) -> None:
    path = tmp_path / "s"
    script = (
        "import os, sys; from tests.microbench.measured import sample; from microbench.store import Store\n"
        "store = Store.open(sys.argv[1]); store.add(sample()); os._exit(9)"
    )
    root = Path(__file__).parents[2]
    died = subprocess.run([sys.executable, "-c", script, str(path)], cwd=root, check=False)
    assert died.returncode == 9
    with Store.open(path) as store:
        assert store.count() == 1


def test_several_writers_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / "s"

    def write(worker: int) -> None:
        with Store.open(path) as store:
            for n in range(5):
                store.add(sample(100 * worker + n + 1))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, range(4)))
    with Store.open(path) as store:
        assert store.count() == 20


def test_measurements_become_samples() -> None:
    job = cpu_job()
    output = job.inputs[0]
    ok = Sample.of(job, FINGERPRINT, Measurement((3.0, 1.0, 2.0), "host", output, {"pages": 1.0}))
    assert (ok.time_s, ok.status, len(ok.output_sha256)) == (2.0, "ok", 64)
    assert Sample.of(job, FINGERPRINT, Measurement((1.0,), "host")).output_sha256 == ""
    failed = Sample.failed(job, FINGERPRINT, "host", "it crashed")
    assert (failed.times_s, failed.status, failed.message) == ((), "failed", "it crashed")


@pytest.mark.parametrize("times", [(), (float("nan"),), (-1.0,)])
def test_a_sample_that_says_nothing_is_refused(times: tuple[float, ...]) -> None:
    with pytest.raises(StoreError, match="time"):
        sample(times_s=times)


def test_another_version_is_refused_with_both_versions(tmp_path: Path) -> None:
    path = tmp_path / "s"
    Store.open(path).close()
    with raw(path) as database:
        database.execute("UPDATE schema_version SET version = 41")
    with pytest.raises(StoreError, match=rf"version 41.*version {SCHEMA_VERSION}.*--store"):
        Store.open(path)


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "s"
    path.write_text("candidate,time\n" * 100)
    with pytest.raises(StoreError, match="not a SQLite database"):
        Store.open(path)
    assert path.read_text().startswith("candidate,time")


def test_a_database_of_something_else_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with raw(path) as database:
        database.execute("CREATE TABLE recipes (name)")
    with pytest.raises(StoreError, match=r"something else.*recipes"):
        Store.open(path)
    with raw(path) as database:
        assert database.execute("SELECT name FROM sqlite_master").fetchall() == [("recipes",)]


@pytest.mark.parametrize("column", ["candidate_json", "times_s", "kind", "work_json", "counters_json"])
def test_a_damaged_row_is_named(tmp_path: Path, column: str) -> None:
    path = tmp_path / "s"
    with Store.open(path) as store:
        store.add(sample())
    with raw(path) as database:
        database.execute(f"UPDATE samples SET {column} = '[!'")
    with Store.open(path) as store, pytest.raises(StoreError):
        store.find(candidate().hash, FINGERPRINT.hash)


def test_a_row_filed_under_another_hash_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with Store.open(path) as store:
        store.add(sample(3))
    with raw(path) as database:
        database.execute("UPDATE samples SET candidate_hash = ?", (candidate(4).hash,))
    with Store.open(path) as store, pytest.raises(StoreError, match="hash it is filed under"):
        store.find(candidate(4).hash, FINGERPRINT.hash)


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
