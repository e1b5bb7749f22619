"""Runs of a front's plans outlive an interruption, and only those of the same bundle on the same board."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from explorer.front.kept_runs import RUNS_FILE, KeptRuns, key_of, read_runs, write_runs
from microbench.board import BundleRun, Fingerprint
from microbench.series import Series

BOARD = Fingerprint("a board", "0", 1e9, "software")


def bundle_run(time_s: float, *series: Series) -> BundleRun:
    return BundleRun((), (time_s,), 2 * time_s, "host", {}, {}, series=series)


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    place = tmp_path / "bundle"
    place.mkdir()
    (place / "weights.bin").write_bytes(b"1")
    return place


def test_runs_are_read_as_they_were_written(tmp_path: Path) -> None:
    kept = KeptRuns(key="k", largest_error=1e-4, same_top5=True, runs=())
    for time_s in (3.0, 1.0, 2.0):
        kept = kept.with_run(bundle_run(time_s, Series("power", "W", (2.0, 4.0))))
        write_runs(kept, tmp_path)
        assert read_runs(tmp_path, "k") == kept
    assert (kept.latency_s, kept.cpu_time_s, kept.metered_j) == (2.0, 4.0, 6.0)
    assert read_runs(tmp_path, "another") is None


@pytest.mark.parametrize("content", ["", "{", '{"key": "k"}', '{"key": "k", "runs": [{}]}'])
def test_a_damaged_file_is_as_none(tmp_path: Path, content: str) -> None:
    (tmp_path / RUNS_FILE).write_text(content)
    assert read_runs(tmp_path, "k") is None


def test_another_quantity_is_no_power() -> None:
    kept = KeptRuns(key="k", largest_error=0, same_top5=True, runs=())
    assert kept.with_run(bundle_run(1.0, Series("power", "dBm", (2.0,)))).metered_j is None


def test_a_key_changes_with_bundle_board_and_inputs(bundle: Path) -> None:
    key = key_of(bundle, BOARD, 0)
    assert key == key_of(bundle, BOARD, 0)
    others = [key_of(bundle, replace(BOARD, serial_hash="1"), 0), key_of(bundle, BOARD, 1)]
    (bundle / "weights.bin").write_bytes(b"2")
    others.append(key_of(bundle, BOARD, 0))
    (bundle / "weights.bin").rename(bundle / "weights2.bin")
    others.append(key_of(bundle, BOARD, 0))
    assert len({key, *others}) == 5
