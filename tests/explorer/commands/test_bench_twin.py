"""`explore bench twin`: which boards it draws, and what its table says of them."""

from __future__ import annotations

import pytest

from explorer.studies.twin import DRAWN, NOTHING, SPREAD, BoardWorth, drawn_board, worth_tables
from microbench.profile import load_profile

STOCK = load_profile("pi-zero")
WORTH = BoardWorth(
    drawn_board(STOCK, 3),
    *(30, 28, 0.2, 400),
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


@pytest.mark.parametrize("text", ["100.00 ms", "10.00 %", "4.00 %", "-0.50 %", "| 28 |", "| 25 |"])
def test_the_table_has_regrets_against_the_true_plan(text: str) -> None:
    (table,) = worth_tables({"squeezenet": [WORTH]})
    assert text in table.markdown()
