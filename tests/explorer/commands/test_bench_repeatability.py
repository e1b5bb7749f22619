"""The same candidates in separate runs: what is chosen, what the spread is, what the command writes."""

from __future__ import annotations

from pathlib import Path

import pytest

from explorer.errors import UsageError
from explorer.pipeline.boards import open_board_of
from explorer.settings import RunSettings
from explorer.studies.repeatability import OneRun, Spread, spreads, tables
from explorer.studies.same_candidates import same_candidates
from microbench.protocol import ReferenceTimes
from microbench.store import Store
from tests.explorer.command_line import explore, refused

REFERENCE = ReferenceTimes(9, 1e-3, "host")


def one_run(scale: float, floor: float | None = 0.02, **more_s: float) -> OneRun:
    medians_s = {"a": 1e-3 * scale, "b": 2e-3, **more_s}
    labels = {key: (f"layer {key}", "some_gemm") for key in medians_s}
    return OneRun("a board", medians_s, labels, ("host",), floor, REFERENCE, 3.0)


def test_the_spread_is_that_of_the_medians() -> None:
    spread = Spread("layer", "gemm", (1.0, 1.1, 0.9, 1.0, 1.0))
    assert spread.median_s == 1.0
    assert spread.relative_range == pytest.approx(0.2)
    assert spread.relative_iqr == pytest.approx(0.0)
    assert 0.09 < spread.floor <= 0.1


def test_only_candidates_of_all_runs_count() -> None:
    found = spreads([one_run(1.0, c=5.0), one_run(1.2)])
    assert [one.layer for one in found] == ["layer a", "layer b"]
    assert found[1].relative_range == 0.0
    with pytest.raises(UsageError, match="no candidate worked in every run"):
        tables([OneRun("a board", {}, {}, (), None, None, 1.0)] * 2)


def test_the_tables_hold_spread_and_floor_side_by_side() -> None:
    runs, verdict, candidates = tables([one_run(scale) for scale in (1.0, 1.02, 1.5)])
    assert "±2.0 %, half the spread of 9 timings" in runs.rows[0][3]
    assert [row[0] for row in verdict.rows][-1] == "noise floor printed by the runs"
    assert any("1 of 2 candidates spread no more" in note for note in verdict.notes)
    assert candidates.rows[0][:2] == ("layer a", "some_gemm") and candidates.rows[0][3] == "49.02 %"


def test_without_a_clock_there_is_no_floor_to_hold_them_against() -> None:
    _, verdict, _ = tables([one_run(1.0, None), one_run(1.0, None), one_run(1.0, None)])
    assert len(verdict.rows) == 3


def test_the_candidates_are_the_same_each_time_and_over_all_layers(model: Path) -> None:
    settings = RunSettings(device="host", model=model)
    with open_board_of(settings) as board:
        few, again = (same_candidates(board, settings, 4) for _ in range(2))
        many = same_candidates(board, settings, 1000)
    assert few == again == many[:4]
    assert len({candidate.spec for candidate in few}) == 4
    assert len(set(many)) == len(many) > 8


def test_the_command_makes_separate_runs_with_stores_of_their_own(model: Path, tmp_path: Path) -> None:
    words: tuple[str | Path, ...] = (
        "bench",
        "repeatability",
        "--device",
        "pi-zero",
        "--runs",
        "2",
        "--candidates",
        "5",
        "--model",
        model,
    )
    words = (*words, "--stores", tmp_path / "stores", "--markdown", tmp_path / "table.md")
    result = explore(*words)
    assert result.exit_code == 0, result.output
    held = []
    for number in (1, 2):
        with Store.open(tmp_path / "stores" / f"run-{number}.sqlite") as store:
            held.append([(one.candidate_hash, one.times_s) for one in store.samples()])
    assert held[0] == held[1] and len(held[0]) == 5
    text = (tmp_path / "table.md").read_text()
    assert "deterministic, no noise floor" in text and "| 0.00 % |" in text
    refused(explore(*words), "run-1.sqlite is there already", "--stores")
