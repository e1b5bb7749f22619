"""Memory throughput follows the V3D's clock, until SDRAM ends."""

from __future__ import annotations

import pytest

from microbench.profile import load_profile
from microbench.suite.clocks import clocks_table, virtual_throughputs

STOCK = load_profile("pi-zero")


def test_reads_move_as_many_bytes_a_cycle_until_sdram_ends() -> None:
    a_cycle, sdram = STOCK.v3d_value("memory_bytes_per_cycle"), STOCK.v3d_value("sdram_bytes_per_s")
    slow, fast = virtual_throughputs(STOCK, (200e6, 500e6))
    assert slow.tmu == pytest.approx(200e6 * a_cycle, rel=0.02)
    assert fast.tmu == pytest.approx(sdram, rel=0.02)
    assert sdram < 500e6 * a_cycle


def test_a_transfers_rows_take_cycles_and_its_setup_a_time() -> None:
    slow, fast = virtual_throughputs(STOCK, (200e6, 400e6))
    assert 1.9 * slow.store < fast.store < 2 * slow.store
    assert slow.load < fast.load < 1.8 * slow.load


def test_the_table_has_a_row_a_clock() -> None:
    text = clocks_table(virtual_throughputs(STOCK, (250e6,)))
    assert text.count("\n") == 2 and "| 250 MHz | 13" in text
