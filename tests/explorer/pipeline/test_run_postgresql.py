"""A run whose samples go to a PostgreSQL server: the same choices as with a file, and nothing measured twice."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from microbench.store import Store, content_digest
from tests.explorer.command_line import explore, null_run
from tests.explorer.tiny import write_tiny_model
from tests.microbench.postgresql_server import PostgresqlServer, postgresql_server


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresqlServer]:
    with postgresql_server() as running:
        yield running


def test_a_server_holds_what_a_file_holds(server: PostgresqlServer, tmp_path: Path) -> None:
    model, url = write_tiny_model(tmp_path / "tiny.onnx"), server.new_url()
    places = {"file": str(tmp_path / "samples.sqlite"), "server": url}
    for name, place in places.items():
        words = [*null_run(model, tmp_path), "--store", place, "--out", tmp_path / name]
        assert explore(*words).exit_code == 0
    plans = [(tmp_path / name / "plan.json").read_text() for name in places]
    assert plans[0] == plans[1]
    digests = []
    for place in places.values():
        with Store.open(place) as store:
            digests.append([content_digest(sample) for sample in store.samples()])
    assert digests[0] == digests[1] and digests[0]
    words = [*null_run(model, tmp_path), "--store", url, "--out", tmp_path / "again"]
    assert explore(*words).exit_code == 0
    counts = json.loads((tmp_path / "again" / "summary.json").read_text())["samples"]
    assert counts["measured now"] == 0 and counts["known from the store"] > 0


def test_samples_go_from_a_file_to_a_server_and_back(server: PostgresqlServer, tmp_path: Path) -> None:
    model, url = write_tiny_model(tmp_path / "tiny.onnx"), server.new_url()
    assert explore(*null_run(model, tmp_path)).exit_code == 0
    assert (
        explore("samples", "export", tmp_path / "a.csv", "--store", tmp_path / "samples.sqlite").exit_code
        == 0
    )
    assert explore("samples", "import", tmp_path / "a.csv", "--store", url).exit_code == 0
    assert explore("samples", "export", tmp_path / "b.csv", "--store", url).exit_code == 0
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()
