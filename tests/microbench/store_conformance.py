"""What every database behind a store must do; a subclass supplies the fixture `place`."""

from __future__ import annotations

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from codegen.canonical import canonical_json, content_hash, text_hash
from microbench.conditions import Conditions
from microbench.errors import StoreError
from microbench.series import Series
from microbench.store import SCHEMA_VERSION, ProgramDigest, Store
from microbench.store.database import parse
from microbench.store.seal import seal_of
from tests.microbench.measured import FINGERPRINT, OTHER, candidate, sample

OLD_STORE = Path(__file__).with_name("store_version_1.sql")
READINGS = (
    Conditions(1e9, 250e6, 48.3, 1.2, 0),
    Conditions(cpu_clock_hz=0.7e9, throttle_flags=0x50005),
    Conditions(),
)

CLASSLESS = (  # as before version 11
    "DROP INDEX samples_by_class",
    "ALTER TABLE samples DROP COLUMN class_hash",
    "ALTER TABLE samples DROP COLUMN normalisation_json",
)
UNSEALED = (*CLASSLESS, "ALTER TABLE samples DROP COLUMN row_sha256")  # as before version 10
POWER = Series("power", "W", (3.5, 4.25), (0.0, 0.1 + 0.2))
WARMTH = Series("temperature", "°C", (48.5,))


def execute(place: str, *statements: str) -> None:
    """Changes a database behind the store's back."""
    engine = create_engine(parse(place))
    try:
        with engine.begin() as connection:
            for statement in statements:
                connection.execute(text(statement.replace(":", r"\:")))
    finally:
        engine.dispose()


def rows(place: str, query: str) -> list[tuple[object, ...]]:
    """What a database holds, read behind the store's back."""
    engine = create_engine(parse(place))
    try:
        with engine.begin() as connection:
            return [tuple(row) for row in connection.execute(text(query))]
    finally:
        engine.dispose()


class StoreConformance:
    """`place`: URL or path of a database that is empty or absent."""

    def test_a_sample_comes_back_equal_after_reopening(self, place: str) -> None:
        written = replace(sample(times_s=(1e-3, 0.1 + 0.2)), conditions=READINGS, role="reference")
        written = replace(written, series=(POWER, WARMTH), revision="0123456789abcdef")
        with Store.open(place) as store:
            number = store.add(written)
        with Store.open(place) as store:
            (read,) = store.find(written.candidate_hash, written.fingerprint_hash)
        assert read == replace(written, id=number)
        assert read.conditions == READINGS
        assert read.series == (POWER, WARMTH)
        assert read.candidate.hash == candidate().hash

    def test_words_no_database_takes_are_written_another_way(self, place: str) -> None:
        with Store.open(place) as store:
            store.add(replace(sample(status="wrong"), message="a\0b \udcff é"))
            (read,) = store.samples()
        assert read.message == r"a\0b \udcff é"

    def test_find_and_samples_keep_boards_apart_and_order(self, place: str) -> None:
        with Store.open(place) as store:
            ids = [store.add(sample(n, FINGERPRINT if n % 2 else OTHER)) for n in (3, 2, 1, 4, 3)]
            assert ids == sorted(set(ids))
            assert [s.id for s in store.samples(FINGERPRINT.hash)] == [ids[0], ids[2], ids[4]]
            assert [s.id for s in store.samples()] == ids
            assert [s.id for s in store.find(candidate(3).hash, FINGERPRINT.hash)] == [ids[0], ids[4]]
            assert store.find(candidate(3).hash, OTHER.hash) == ()
            assert store.fingerprints() == (FINGERPRINT, OTHER)
            assert store.count() == 5

    def test_samples_are_read_in_pages_while_others_are_added(
        self, place: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("microbench.store.store.PAGE_ROWS", 4)
        with Store.open(place) as store:
            added = [store.add(sample(n + 1)) for n in range(7)]
            seen = store.samples(FINGERPRINT.hash)
            first = next(seen)
            added.append(store.add(sample(1)))
            assert [first.id, *(s.id for s in seen)] == added

    def test_an_added_sample_outlives_the_process(self, place: str) -> None:
        script = (
            "import os, sys; from tests.microbench.measured import sample; from microbench.store import Store\n"
            "store = Store.open(sys.argv[1]); store.add(sample()); os._exit(9)"
        )
        root = Path(__file__).parents[2]
        died = subprocess.run([sys.executable, "-c", script, place], cwd=root, check=False)
        assert died.returncode == 9
        with Store.open(place) as store:
            assert store.count() == 1

    def test_several_writers_lose_nothing(self, place: str) -> None:
        def write(worker: int) -> None:
            with Store.open(place) as store:
                for n in range(5):
                    store.add(sample(100 * worker + n + 1))

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(write, range(4)))
        with Store.open(place) as store:
            assert store.count() == 20

    def test_an_old_store_is_brought_up_to_date_and_keeps_its_samples(self, place: str) -> None:
        lay_old_store(place)
        with Store.open(place) as store:
            kept = tuple(store.samples())
            assert [(s.id, s.status, s.times_s) for s in kept] == [
                (1, "ok", (0.001, 0.1 + 0.2)),
                (2, "ok", (0.001,)),
                (3, "wrong", (0.001,)),
                (4, "failed", ()),
            ]
            first, second = store.fingerprints()
            assert (first.board, first.clock_hz) == ("virtual test", 250e6)
            assert {one.revision for one in kept} == {"generator 1"}
            assert (first.kernel, first.serial_hash, first.runner, first.cpu_clock_hz) == ("", "", "", 0.0)
            assert second.board == "Intel(R) test – host"
            assert [s.id for s in store.find(candidate(3).hash, first.hash)] == [1, 4]
            assert {(s.role, s.conditions, s.context, s.series) for s in kept} == {("candidate", (), "", ())}
            assert kept[3].message == "it 'crashed'"
            added = store.add(replace(kept[0], conditions=READINGS, series=(POWER,)))
            assert added > 4
        assert rows(place, "SELECT version FROM schema_version") == [(SCHEMA_VERSION,)]
        with Store.open(place) as store:
            assert [s.id for s in store.samples()] == [1, 2, 3, 4, added]

    def test_a_store_of_version_3_gains_series_and_loses_nothing(self, place: str) -> None:
        written = replace(sample(3), conditions=READINGS, role="rehearsal", context="ab 1 conv")
        with Store.open(place) as store:
            store.add(written)
        execute(
            place,
            "DROP TABLE programs",
            "DROP TABLE rounds",
            *UNSEALED,
            "ALTER TABLE samples DROP COLUMN series_json",
            "ALTER TABLE samples DROP COLUMN revision",
            "UPDATE schema_version SET version = 3",
        )
        with Store.open(place) as store:
            store.add(replace(written, series=(WARMTH,)))
            assert [replace(s, id=0) for s in store.samples()] == [
                written,
                replace(written, series=(WARMTH,)),
            ]
        assert rows(place, "SELECT version FROM schema_version") == [(SCHEMA_VERSION,)]

    def test_the_generator_of_a_fingerprint_of_version_5_becomes_its_samples_revision(
        self, place: str
    ) -> None:
        written = (sample(3), sample(4), sample(5, OTHER))
        generators = ("first", "second", "second")
        with Store.open(place) as store:
            for one in written:
                store.add(one)
        execute(
            place,
            "DROP TABLE programs",
            "DROP TABLE rounds",
            *UNSEALED,
            "ALTER TABLE samples DROP COLUMN revision",
            "UPDATE schema_version SET version = 5",
        )
        for number, (one, generator) in enumerate(zip(written, generators, strict=True), 1):
            form = {**json.loads(canonical_json(one.fingerprint)), "generator": generator}
            execute(
                place,
                f"UPDATE samples SET fingerprint_json = '{canonical_json(form)}', fingerprint_hash = "
                f"'{content_hash(form)}' WHERE id = {number}",
            )
        with Store.open(place) as store:
            assert [(replace(s, id=0, revision=""), s.revision) for s in store.samples()] == list(
                zip(written, generators, strict=True)
            )
            assert store.fingerprints() == (FINGERPRINT, OTHER)
            assert [s.id for s in store.samples(FINGERPRINT.hash)] == [1, 2]

    def test_digests_of_programs_are_kept_by_what_made_them(self, place: str) -> None:
        first, second, other = (
            ProgramDigest(maker, f"candidate {n}", f"digest {n}") for n, maker in enumerate("aab")
        )
        with Store.open(place) as store:
            store.add_programs((first, other))
            store.add_programs((second,))
            store.add_programs(())
        with Store.open(place) as store:
            assert store.programs("a") == (first, second)
            assert store.programs("b") == (other,)
            assert store.programs("c") == ()

    def test_a_store_of_version_6_has_no_digests_yet(self, place: str) -> None:
        with Store.open(place) as store:
            store.add(sample(3))
        execute(
            place,
            "DROP TABLE programs",
            "DROP TABLE rounds",
            *UNSEALED,
            "UPDATE schema_version SET version = 6",
        )
        with Store.open(place) as store:
            assert (store.count(), store.programs("a")) == (1, ())
            store.add_programs((ProgramDigest("a", "candidate", "digest"),))
            assert len(store.programs("a")) == 1

    def test_rounds_are_kept_by_their_keys(self, place: str) -> None:
        with Store.open(place) as store:
            assert store.round("a") is None
            store.add_round("a", "first")
            store.add_round("b", "other")
            store.add_round("a", "first")
        with Store.open(place) as store:
            assert (store.round("a"), store.round("b"), store.round("c")) == ("first", "other", None)

    def test_numbers_of_a_store_of_version_8_become_names(self, place: str) -> None:
        named = replace(sample().candidate.choice, algorithm="qpu_map", split=(("numbers", "nchw"),))
        kept = replace(sample(), candidate=replace(sample().candidate, choice=named))
        with Store.open(place) as store:
            store.add(kept)
        old = canonical_json(kept.candidate).replace('["numbers","nchw"]', '["planar",1]')
        execute(
            place,
            f"UPDATE samples SET candidate_json = '{old}', candidate_hash = '{text_hash(old)}'",
            *UNSEALED,
            "ALTER TABLE programs DROP COLUMN row_sha256",
            "ALTER TABLE rounds DROP COLUMN row_sha256",
            "UPDATE schema_version SET version = 8",
        )
        with Store.open(place) as store:
            (found,) = store.find(kept.candidate.hash, FINGERPRINT.hash)
        assert found.candidate == kept.candidate
        assert rows(place, "SELECT version FROM schema_version") == [(SCHEMA_VERSION,)]

    def test_a_store_of_version_7_has_no_rounds_yet(self, place: str) -> None:
        with Store.open(place) as store:
            store.add(sample(3))
        execute(
            place,
            "DROP TABLE rounds",
            *UNSEALED,
            "ALTER TABLE programs DROP COLUMN row_sha256",
            "UPDATE schema_version SET version = 7",
        )
        with Store.open(place) as store:
            assert (store.count(), store.round("a")) == (1, None)
            store.add_round("a", "round")
            assert store.round("a") == "round"

    def test_an_old_store_that_is_damaged_stays_as_it_is(self, place: str) -> None:
        lay_old_store(place)
        execute(place, "UPDATE samples SET fingerprint_json = '[!' WHERE id = 4")
        before = rows(place, "SELECT * FROM samples ORDER BY id")
        with pytest.raises(StoreError, match=r"malformed.*copy"):
            Store.open(place)
        assert rows(place, "SELECT * FROM samples ORDER BY id") == before
        assert rows(place, "SELECT version FROM schema_version") == [(1,)]

    def test_many_may_open_an_old_store_at_once(self, place: str) -> None:
        lay_old_store(place)

        def count(_: int) -> int:
            with Store.open(place) as store:
                return store.count()

        with ThreadPoolExecutor(4) as pool:
            assert list(pool.map(count, range(4))) == [4] * 4

    @pytest.mark.parametrize("version", [0, SCHEMA_VERSION + 1, 41])
    def test_another_version_is_refused_with_both_versions(self, place: str, version: int) -> None:
        Store.open(place).close()
        execute(place, f"UPDATE schema_version SET version = {version}")
        with pytest.raises(StoreError, match=rf"version {version}.*version {SCHEMA_VERSION}.*--store"):
            Store.open(place)

    def test_a_database_of_something_else_is_refused_and_left_alone(self, place: str) -> None:
        execute(place, "CREATE TABLE recipes (name TEXT)")
        with pytest.raises(StoreError, match=r"something else.*recipes"):
            Store.open(place)
        with pytest.raises(StoreError, match="something else"):
            Store.open(place)
        assert rows(place, "SELECT * FROM recipes") == []

    @pytest.mark.parametrize(
        "column",
        [
            "candidate_json",
            "times_s",
            "kind",
            "work_json",
            "counters_json",
            "conditions_json",
            "role",
            "series_json",
        ],
    )
    def test_a_damaged_row_is_named(self, place: str, column: str) -> None:
        with Store.open(place) as store:
            store.add(sample())
        execute(place, f"UPDATE samples SET {column} = '[!'")
        with Store.open(place) as store, pytest.raises(StoreError):
            store.find(candidate().hash, FINGERPRINT.hash)

    def test_a_row_filed_under_another_hash_is_refused(self, place: str) -> None:
        with Store.open(place) as store:
            store.add(sample(3))
        execute(place, f"UPDATE samples SET candidate_hash = '{candidate(4).hash}'")
        with Store.open(place) as store, pytest.raises(StoreError, match="row 1 is damaged"):
            store.find(candidate(4).hash, FINGERPRINT.hash)

    @pytest.mark.parametrize(
        "change",
        [
            "times_s = '[0.002]'",
            "status = 'wrong'",
            "message = 'another'",
            "counters_json = '{}'",
            "role = 'reference'",
            "revision = 'another'",
            "class_hash = 'another'",
            "normalisation_json = '[!'",
            "row_sha256 = ''",
        ],
    )
    def test_a_sample_that_is_sound_but_another_is_no_sample(self, place: str, change: str) -> None:
        with Store.open(place) as store:
            store.add(replace(sample(3), counters={"pages": 2.0}))
        execute(place, f"UPDATE samples SET {change}")
        with Store.open(place) as store:
            with pytest.raises(StoreError, match=r"row 1 is damaged.*copy"):
                list(store.samples())
            with pytest.raises(StoreError, match="row 1 is damaged"):
                store.find(candidate(3).hash, FINGERPRINT.hash)

    def test_digests_rounds_and_boards_that_are_others_are_refused(self, place: str) -> None:
        with Store.open(place) as store:
            store.add(sample(3))
            store.add_programs((ProgramDigest("a", "candidate", "digest"),))
            store.add_round("key", "content")
        changed = canonical_json(FINGERPRINT).replace("virtual test", "virtual best")
        execute(
            place,
            "UPDATE programs SET digest = 'other'",
            "UPDATE rounds SET content = 'other'",
            f"UPDATE samples SET fingerprint_json = '{changed}'",
        )
        with Store.open(place) as store:
            for read in (lambda: store.programs("a"), lambda: store.round("key"), store.fingerprints):
                with pytest.raises(StoreError, match="damaged"):
                    read()

    def test_a_store_of_version_9_gains_seals(self, place: str) -> None:
        with Store.open(place) as store:
            store.add(sample(3))
            store.add_programs((ProgramDigest("a", "candidate", "digest"),))
            store.add_round("key", "content")
            kept = tuple(store.samples())
        seals = [rows(place, f"SELECT row_sha256 FROM {name}") for name in ("samples", "programs", "rounds")]
        execute(
            place,
            *UNSEALED,
            "ALTER TABLE programs DROP COLUMN row_sha256",
            "ALTER TABLE rounds DROP COLUMN row_sha256",
            "UPDATE schema_version SET version = 9",
        )
        with Store.open(place) as store:
            assert tuple(store.samples()) == kept
            assert (len(store.programs("a")), store.round("key")) == (1, "content")
        again = [rows(place, f"SELECT row_sha256 FROM {name}") for name in ("samples", "programs", "rounds")]
        assert again == seals

    def test_a_normalised_sample_keeps_its_raw_times_factor_and_references(self, place: str) -> None:
        taken = replace(sample(times_s=(2e-3, 0.1 + 0.2)), fingerprint=replace(FINGERPRINT, serial_hash="b"))
        written = taken.normalised(0.75, (1, 2, 40), "a")
        assert written.times_s == (1.5e-3, 0.75 * (0.1 + 0.2))
        with Store.open(place) as store:
            number = store.add(written)
        with Store.open(place) as store:
            (read,) = store.samples()
        assert read == replace(written, id=number)
        assert read.as_timed == replace(taken, id=number)

    def test_boards_of_a_class_are_found_together_and_apart(self, place: str) -> None:
        first, second = (replace(FINGERPRINT, serial_hash=serial) for serial in "ab")
        with Store.open(place) as store:
            for fingerprint in (first, OTHER, second, FINGERPRINT):
                store.add(sample(3, fingerprint))
            assert [s.id for s in store.samples(class_hash=first.class_hash)] == [1, 3, 4]
            assert [s.id for s in store.samples(second.hash, class_hash=first.class_hash)] == [3]
            assert [s.id for s in store.samples(OTHER.hash, class_hash=first.class_hash)] == []

    def test_samples_of_a_store_of_version_10_are_found_by_their_class(self, place: str) -> None:
        boards = [replace(FINGERPRINT, serial_hash=serial) for serial in ("a", "b", "")]
        with Store.open(place) as store:
            for fingerprint in boards:
                store.add(sample(3, fingerprint))
            kept = tuple(store.samples())
        seals = rows(place, "SELECT row_sha256 FROM samples ORDER BY id")
        lay_version_10(place)
        with Store.open(place) as store:
            assert tuple(store.samples()) == tuple(store.samples(class_hash=FINGERPRINT.class_hash)) == kept
            assert [s.id for s in store.samples(boards[1].hash)] == [2]
        assert rows(place, "SELECT row_sha256 FROM samples ORDER BY id") == seals

    def test_a_row_that_was_damaged_before_version_11_is_not_sealed_anew(self, place: str) -> None:
        with Store.open(place) as store:
            store.add(sample(3))
        lay_version_10(place)
        execute(place, "UPDATE samples SET times_s = '[0.002]'")
        with pytest.raises(StoreError, match="row 1 of the store is damaged"):
            Store.open(place)
        assert rows(place, "SELECT version FROM schema_version") == [(10,)]


def lay_version_10(place: str) -> None:
    """Makes the samples of a store what version 10 wrote: no class, no normalisation, seals without them."""
    execute(place, *CLASSLESS, "UPDATE schema_version SET version = 10")
    engine = create_engine(parse(place))
    try:
        with engine.begin() as connection:
            for row in connection.execute(text("SELECT * FROM samples")).mappings().all():
                place_of_row = {"id": row["id"], "seal": seal_of(dict(row))}
                connection.execute(text("UPDATE samples SET row_sha256 = :seal WHERE id = :id"), place_of_row)
    finally:
        engine.dispose()


def lay_old_store(place: str) -> None:
    """Makes the database a store as version 1 of the schema left it, with four samples."""
    script = OLD_STORE.read_text(encoding="utf-8")
    if parse(place).get_backend_name() == "postgresql":
        script = script.replace("id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT", "id SERIAL PRIMARY KEY")
        script = f"{script}\nSELECT setval('samples_id_seq', 4);"
    statements = [statement.strip() for statement in script.split(";\n")]
    execute(place, *(s.rstrip(";") for s in statements if s and not s.startswith(UNWANTED)))


UNWANTED = ("BEGIN", "COMMIT", "DELETE FROM", 'INSERT INTO "sqlite_sequence"')
