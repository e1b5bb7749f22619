"""`explore bench cpu-peers` with onnxruntime of this environment as the peer: the whole road, and what is refused."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from explorer.studies.peers_report import cell_table, ordered, write_markdown
from microbench.peers.bundles import OUR_NAME
from microbench.peers.comparison import Cell
from microbench.peers.registry import PROGRAMS, Peer
from microbench.peers.rounds import Entry, RoundSettings
from microbench.profile import usable_cores
from tests.explorer.command_line import explore, refused
from tests.explorer.tiny import write_tiny_model
from tests.microbench.fake_peers import installed, peer

THREADS = usable_cores()  # as many as the plan may use


@pytest.fixture
def peers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Peer, ...]:
    sound = installed(peer(tmp_path, "sound", engine=PROGRAMS / "run_onnxruntime.py"), tmp_path / "peers")
    table = (sound, peer(tmp_path, "absent", python="2.99"))
    monkeypatch.setattr("explorer.studies.peers_run.read_peers", lambda: table)
    return table


def arguments(directory: Path, *more: str | Path) -> tuple[str | Path, ...]:
    places = ("--environments", directory / "peers", "--out", directory / "results")
    return ("bench", "cpu-peers", "--rounds", "2", "--runs", "2", *places, *more)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on this machine's CPU, beside its model."""
    directory = tmp_path_factory.mktemp("host")
    model = write_tiny_model(directory / "tiny.onnx")
    places = ("--store", directory / "samples.sqlite", "--out", directory / "run")
    result = explore("run", "--device", "host", "--layer-budget", "1", "--model", model, *places)
    assert result.exit_code == 0, result.output
    return directory / "run"


@pytest.mark.usefixtures("peers")
def test_a_bundle_is_compared_with_its_peers(tmp_path: Path, run: Path) -> None:
    model = run.parent / "tiny.onnx"
    result = explore(*arguments(tmp_path, model, "--threads", str(THREADS), "--bundles", run))
    assert result.exit_code == 0, result.output
    with (tmp_path / "results" / "cpu-peers.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert {(row["network"], row["threads"], row["engine"]) for row in rows} == {
        ("tiny", str(THREADS), "sound"),
        ("tiny", str(THREADS), OUR_NAME),
    }
    assert len(rows) == 2 * 2 * 2
    assert all(int(row["time_ns"]) > 0 for row in rows)
    text = (tmp_path / "results" / "cpu-peers.md").read_text(encoding="utf-8")
    assert "not run: it has packages for Python 2.99 only" in text
    assert "(wrong)" not in text
    assert f"| {THREADS} | " in text
    assert "tiny | none |" in text


@pytest.mark.usefixtures("peers")
def test_a_plan_is_compiled_for_the_comparison(tmp_path: Path, run: Path) -> None:
    model, plan = run.parent / "tiny.onnx", run / "plan.json"
    result = explore(*arguments(tmp_path, model, "--threads", str(THREADS), "--plan", plan))
    assert result.exit_code == 0, result.output
    assert "tiny | none |" in (tmp_path / "results" / "cpu-peers.md").read_text(encoding="utf-8")
    other = write_tiny_model(tmp_path / "other.onnx", seed=1)
    refused(explore(*arguments(tmp_path, other, "--threads", "1", "--plan", plan)), "give it too")


@pytest.mark.usefixtures("peers")
def test_without_bundles_the_peers_run_and_the_reason_is_told(tmp_path: Path) -> None:
    model = write_tiny_model(tmp_path / "tiny.onnx")
    result = explore(*arguments(tmp_path, tmp_path, "--threads", "1"))
    assert result.exit_code == 0, result.output
    text = (tmp_path / "results" / "cpu-peers.md").read_text(encoding="utf-8")
    assert "no bundle was given (--bundles, --plan)" in text
    assert "| none | tiny |" in text
    assert model.stem in text


@pytest.mark.usefixtures("peers")
def test_what_cannot_be_compared_is_refused(tmp_path: Path) -> None:
    model = write_tiny_model(tmp_path / "tiny.onnx")
    refused(explore(*arguments(tmp_path, model, "--peer", "nobody")), "'nobody'; there are sound, absent")
    refused(explore(*arguments(tmp_path, model, "--threads", "100000")), "ask for fewer")
    refused(explore(*arguments(tmp_path, model, "--bundles", tmp_path / "peers")), "no bundle")
    refused(explore(*arguments(tmp_path, tmp_path / "peers")), "no *.onnx")
    refused(explore(*arguments(tmp_path, model, model)), "two models are named")
    refused(explore(*arguments(tmp_path, tmp_path / "gone.onnx")), "onnxruntime refuses it")


def test_a_table_says_who_is_wrong_and_who_did_not_run(tmp_path: Path) -> None:
    times_ns = np.full((2, 2), 2e6)
    entries = (
        Entry("c", "C", "", reason="a | b"),
        Entry("b", "B", "2", times_ns / 2, error=0.5),
        Entry("a", "A", "1", times_ns, error=1e-6, idle_share=0.25),
    )
    cell = Cell("net", 2, (0, 1), entries)
    assert [entry.name for entry in ordered(cell)] == ["b", "a", "c"]
    assert len(cell_table(cell).rows) == 3
    write_markdown([cell], RoundSettings(), tmp_path / "out.md")
    text = (tmp_path / "out.md").read_text(encoding="utf-8")
    assert "| A | 1 | 2.000 | 2.000 to 2.000 | 2.000 | 1.0e-06 | 1.00 | 25.0% |" in text
    assert "5.0e-01 (wrong)" in text
    assert "not run: a \\| b" in text
