"""`explore bench twin`: which boards it draws, and what its table says of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from explorer.studies.twin import (
    DRAWN,
    NOTHING,
    SPREAD,
    STAND_IN,
    BoardWorth,
    KeptWorths,
    drawn_board,
    errors_of,
    worth_tables,
)
from microbench.calibration.profile_file import fitted_on
from microbench.profile import load_profile

STOCK = load_profile("pi-zero")
WORTH = BoardWorth(
    board=3,
    differs_in=NOTHING,
    identified=30,
    off={"sfu_cycles": 2.0, "vdw_row_cycles": 0.06},
    launches=400,
    true_s=0.100,
    stock_s=0.110,
    probes_s=0.104,
    twin_s=0.0995,
    asked=25,
)


def test_boards_are_drawn_about_the_stock_profile_and_alike_each_time() -> None:
    for seed in range(10):
        drawn = drawn_board(STOCK, seed)
        assert drawn == drawn_board(STOCK, seed)
        ratios = [drawn.profile.v3d_value(name) / STOCK.v3d_value(name) for name in DRAWN]
        assert all(1 - SPREAD - 0.1 <= ratio <= 1 + SPREAD + 0.1 for ratio in ratios)
        assert len(set(ratios)) == len(ratios)
    assert drawn_board(STOCK, 1).profile.hash != drawn_board(STOCK, 11).profile.hash


def test_four_boards_of_ten_differ_in_more_than_constants() -> None:
    boards = [drawn_board(STOCK, seed) for seed in range(10)]
    assert len({board.differs_in for board in boards} - {NOTHING}) == 4
    assert sum(board.differs_in != NOTHING for board in boards) == 4


@pytest.mark.parametrize(
    "text", ["100.00 ms", "10.00 %", "4.00 %", "-0.50 %", "| sfu_cycles 200%, vdw_row_cycles 6% |", "| 25 |"]
)
def test_the_table_has_regrets_against_the_true_plan(text: str) -> None:
    (table,) = worth_tables({"squeezenet": [WORTH]})
    assert text in table.markdown()


def test_boards_that_differ_in_more_than_constants_are_stated_apart() -> None:
    slower = replace(WORTH, board=5, twin_s=0.101, off={})
    others = [replace(WORTH, board=number, differs_in="one SFU for all QPUs") for number in (4, 8)]
    alike, unlike = worth_tables({"squeezenet": [WORTH, others[0], slower, others[1]]})
    assert [row[0] for row in alike.rows] == ["3", "5", "median", "worst"]
    assert [row[0] for row in unlike.rows] == ["4", "8", "median", "worst"]
    assert [row[8] for row in alike.rows] == ["-0.50 %", "1.00 %", "0.25 %", "1.00 %"]
    assert alike.rows[1][4] == "none"


def test_boards_that_are_done_are_kept_and_torn_lines_are_not(tmp_path: Path) -> None:
    kept = KeptWorths(tmp_path / "worths.jsonl")
    assert kept.worth("one") is None
    kept.add("one", WORTH)
    with kept.path.open("a") as file:
        file.write('{"key": "two", "worth"')
    assert kept.worth("one") == WORTH
    assert kept.worth("two") is None
    kept.add("two", replace(WORTH, board=4))
    assert (kept.worth("one"), kept.worth("two")) == (WORTH, replace(WORTH, board=4))


def test_errors_are_of_constants_that_were_found() -> None:
    """A switch that is off and was found to be off is no error."""
    true = STOCK.with_v3d(lowest_qpu_first=0.0, vdw_row_cycles=10.0, clock_hz=300e6)
    constants = dict(true.v3d)
    for name, value in (("lowest_qpu_first", 0.0), ("vdw_row_cycles", 11.0)):
        constants[name] = constants[name].model_copy(update={"value": value, "source": fitted_on(STAND_IN)})
    found = true.model_copy(update={"v3d": constants})
    assert errors_of(found, true) == {"lowest_qpu_first": 0.0, "vdw_row_cycles": pytest.approx(0.1)}
