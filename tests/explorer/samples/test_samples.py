"""`explore samples`: listing, and a round trip through files that loses nothing and takes in nothing twice."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from codegen.canonical import canonical_json, content_hash
from explorer.errors import MissingExtraError, SampleFileError, UsageError
from explorer.samples.files import export_samples, import_samples, read_samples
from explorer.samples.table import SampleFilter, describe_layer
from microbench.conditions import Conditions
from microbench.series import Series
from microbench.store import Sample, Store
from tests.explorer.command_line import explore, refused
from tests.microbench.measured import FINGERPRINT, OTHER, candidate, sample

both_formats = pytest.mark.parametrize("ending", ["csv", "parquet"])
SAMPLES = (
    replace(
        sample(3, times_s=(1e-3, 0.1 + 0.2, 1e-3, 1.1e-3)),
        conditions=(Conditions(1e9), Conditions(9e8, None, 50.25)),
        series=(Series("power", "W", (3.5, 4.25), (0.0, 0.1)), Series("a,b", "°C", (48,))),
        revision="0123456789abcdef",
    ),
    replace(sample(4, OTHER, "wrong"), message='off by 1,5 "percent"\r\nsecond line; NA\ttab\rend'),
    replace(sample(5, OTHER, "failed", ()), counters={}, output_sha256="", message="null"),
    replace(sample(3, replace(OTHER, serial_hash="ab", kernel="6.1")), role="reference", kind="host"),
)
REHEARSED = replace(sample(3, OTHER), role="rehearsal", context="ab12 features/conv 1,x")


def filled(path: Path, samples: tuple[Sample, ...] = SAMPLES) -> Path:
    with Store.open(path) as store:
        for one in samples:
            store.add(one)
    return path


def content(path: Path) -> list[Sample]:
    with Store.open(path) as store:
        return [replace(one, id=0) for one in store.samples()]


@both_formats
def test_what_is_exported_comes_back_equal_and_only_once(tmp_path: Path, ending: str) -> None:
    store, other, file = filled(tmp_path / "a.sqlite"), tmp_path / "b.sqlite", tmp_path / f"samples.{ending}"
    assert "4 samples" in explore("samples", "export", file, "--store", store).stdout
    assert "4 new samples, 0 known" in explore("samples", "import", file, "--store", other).stdout
    assert content(other) == list(SAMPLES)
    assert "0 new samples, 4 known" in explore("samples", "import", file, "--store", other).stdout
    assert "0 new samples, 4 known" in explore("samples", "import", file, "--store", store).stdout
    assert content(other) == list(SAMPLES)
    assert [entry.name for entry in tmp_path.glob(".*")] == []


@both_formats
def test_a_rehearsal_comes_back_with_its_context(tmp_path: Path, ending: str) -> None:
    file = tmp_path / f"samples.{ending}"
    export_samples([REHEARSED], file)
    assert read_samples(file) == (REHEARSED,)


@both_formats
def test_a_normalised_sample_comes_back_with_its_raw_times(tmp_path: Path, ending: str) -> None:
    file = tmp_path / f"samples.{ending}"
    normalised = sample(3, OTHER).normalised(1.25, (1, 7), "a")
    export_samples([normalised], file)
    assert read_samples(file) == (normalised,)


@pytest.mark.parametrize("column", ["context", "series_json", "revision", "normalisation_json"])
def test_an_export_from_before_samples_had_a_column_is_read(tmp_path: Path, column: str) -> None:
    file = tmp_path / "samples.csv"
    export_samples(SAMPLES, file)
    frame = pd.read_csv(file, dtype=str, keep_default_na=False)
    frame.drop(columns=column).to_csv(file, index=False)
    without: dict[str, Any] = {"series_json": {"series": ()}, "revision": {"revision": ""}}
    assert read_samples(file) == tuple(replace(one, **without.get(column, {})) for one in SAMPLES)


def test_an_export_whose_fingerprints_name_a_generator_is_read(tmp_path: Path) -> None:
    file = tmp_path / "samples.csv"
    export_samples(SAMPLES, file)
    frame = pd.read_csv(file, dtype=str, keep_default_na=False).drop(columns="revision")
    forms = [{**json.loads(text), "generator": "of old"} for text in frame["fingerprint_json"]]
    frame["fingerprint_json"] = [canonical_json(form) for form in forms]
    frame["fingerprint_hash"] = [content_hash(form) for form in forms]
    frame.to_csv(file, index=False)
    assert read_samples(file) == tuple(replace(one, revision="of old") for one in SAMPLES)


def test_series_are_listed_on_request(tmp_path: Path) -> None:
    store = filled(tmp_path / "a.sqlite")
    assert "3.875 W" not in explore("samples", "list", "--store", store).stdout
    listed = explore("samples", "list", "--store", store, "--series").stdout
    assert "power 3.875 W (2)" in listed and "a,b 48 °C (1)" in listed


@both_formats
def test_an_empty_choice_is_an_empty_file_that_can_be_read(tmp_path: Path, ending: str) -> None:
    file = tmp_path / f"none.{ending}"
    assert export_samples((), file) == 0
    assert read_samples(file) == ()


def test_readers_find_every_repeat_and_the_outliers(tmp_path: Path) -> None:
    export_samples(SAMPLES, tmp_path / "s.csv")
    first = pd.read_csv(tmp_path / "s.csv").iloc[0]
    assert json.loads(first["times_s"]) == list(SAMPLES[0].times_s)
    assert json.loads(first["outliers"]) == [1]
    assert (first["layer"], first["algorithm"]) == ("Map 1x3 -> 1x3", "direct")
    assert first["median_s"] == SAMPLES[0].time_s
    assert json.loads(first["conditions_json"])[1] == {"cpu_clock_hz": 9e8, "temperature_c": 50.25}


def test_only_new_samples_are_taken_in(tmp_path: Path) -> None:
    export_samples((SAMPLES[0], SAMPLES[1], SAMPLES[1]), tmp_path / "s.csv")
    with Store.open(filled(tmp_path / "a", SAMPLES[:1])) as store:
        imported = import_samples(read_samples(tmp_path / "s.csv"), store)
        assert (imported.new, imported.known) == (1, 2)
        assert store.fingerprints() == (FINGERPRINT, OTHER)


@pytest.mark.parametrize(
    ("column", "change", "says"),
    [
        ("fingerprint_json", lambda text: text.replace("virtual test", "another"), "hash it is filed under"),
        ("candidate_hash", lambda text: "0" * 64, "hash it is filed under"),
        ("times_s", lambda text: "[-1]", "time that is none"),
        ("times_s", lambda text: "[]", "has no time"),
        ("times_s", lambda text: '["a"]', "malformed"),
        ("status", lambda text: "fine", "status"),
        ("role", lambda text: "", "role"),
        ("kind", lambda text: "guess", "kind"),
        ("counters_json", lambda text: '{"a": "b"}', "counters"),
        ("conditions_json", lambda text: '[{"temperature_c": "warm"}]', "temperature_c"),
        ("conditions_json", lambda text: '[{"colour": 1}]', "malformed"),
        ("output_sha256", lambda text: "x", "checksum"),
        ("work_json", lambda text: text.replace("Work", "Wrok"), "Wrok"),
    ],
)
def test_one_bad_row_keeps_all_out(
    tmp_path: Path, column: str, change: Callable[[str], str], says: str
) -> None:
    file, store = tmp_path / "s.csv", tmp_path / "b.sqlite"
    export_samples((SAMPLES[1], SAMPLES[0]), file)
    frame = pd.read_csv(file, dtype=str, keep_default_na=False)
    frame.loc[1, column] = change(str(frame.loc[1, column]))
    frame.to_csv(file, index=False)
    refused(explore("samples", "import", file, "--store", store), "SampleFileError", "sample 2", says)
    assert not store.exists()


def test_files_that_are_no_export(tmp_path: Path) -> None:
    for name, words in (("a.csv", "x,y\n1,2\n"), ("b.csv", ""), ("c.parquet", "PAR1"), ("d.csv", '"a\n')):
        (tmp_path / name).write_text(words)
        with pytest.raises(SampleFileError, match="no export"):
            read_samples(tmp_path / name)
    (tmp_path / "e.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SampleFileError, match="no export"):
        read_samples(tmp_path / "e.csv")
    with pytest.raises(SampleFileError, match="not there"):
        read_samples(tmp_path / "absent.csv")
    with pytest.raises(SampleFileError, match="parquet"):
        read_samples(tmp_path / "s.xlsx")


def test_a_table_of_other_types_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "s.parquet"
    export_samples(SAMPLES, file)
    frame = pd.read_parquet(file)
    frame["message"] = [1, 2, 3, 4]
    frame.to_parquet(file)
    with pytest.raises(SampleFileError, match="sample 1 is malformed"):
        read_samples(file)


def test_without_the_extra_parquet_says_what_to_type(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("explorer.samples.files.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"pyarrow.*pip install -e '\.\[parquet\]'"):
        export_samples(SAMPLES, tmp_path / "s.parquet")
    assert export_samples(SAMPLES, tmp_path / "s.csv") == 4


def test_lists_choose_by_layer_algorithm_status_and_board() -> None:
    def chosen(**fields: str) -> list[int]:
        wanted = SampleFilter(**fields)
        return [index for index, one in enumerate(SAMPLES) if wanted.passes(one)]

    assert chosen() == [0, 1, 2, 3]
    assert chosen(layer="1x3 ->") == [0, 3]
    assert chosen(layer="MAP") == [0, 1, 2, 3]
    assert chosen(algorithm="direct", status="wrong") == [1]
    assert chosen(algorithm="dir") == []
    assert chosen(board="OTHER") == [1, 2, 3]
    assert chosen(board=FINGERPRINT.hash[:8]) == [0]
    assert chosen(role="reference") == chosen(kind="host") == [3]
    assert chosen(layer="1x3 ->", status="failed") == []
    with pytest.raises(UsageError, match="ok, wrong, failed"):
        SampleFilter(status="fine")


def test_the_list_shows_medians_and_counts_what_it_leaves_out(tmp_path: Path) -> None:
    store = filled(tmp_path / "a.sqlite")
    shown = explore("samples", "list", "--store", store).stdout
    assert "1050.00 µs" in shown and describe_layer(candidate(3).spec) in shown
    assert "3 more" in explore("samples", "list", "--store", store, "--limit", "1").stdout
    assert "no sample" in explore("samples", "list", "--store", store, "--algorithm", "none").stdout


def test_reading_makes_no_store(tmp_path: Path) -> None:
    absent = tmp_path / "absent.sqlite"
    refused(explore("samples", "list", "--store", absent), "no store")
    refused(explore("samples", "export", tmp_path / "a.csv", "--store", absent), "no store")
    refused(explore("samples", "list", "--store", filled(tmp_path / "s"), "--role", "x"), "--role")
    assert not absent.exists()
