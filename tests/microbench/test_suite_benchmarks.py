"""The suite runs on boards of any shape, and its times are those of the constants they are made for."""

from __future__ import annotations

from functools import cache
from itertools import pairwise

import pytest

from microbench.profile import DeviceProfile, load_profile
from microbench.suite.families.dma import IN_A_ROW, ROW_WORDS
from microbench.suite.families.uniform import SPACINGS
from microbench.suite.gpu import BoardShape
from microbench.suite.runner import measure, queue_depth
from microbench.suite.suite import suite
from microbench.suite.table import SuiteRun, figures_table, measurements_table, run_virtual
from microbench.virtual import VirtualV3D


def stock() -> DeviceProfile:
    return load_profile("pi-zero")


@cache
def stock_run() -> SuiteRun:
    return run_virtual(stock())


def cycles(name: str) -> float:
    return stock_run().measured[name] * stock().v3d_value("clock_hz")


def test_an_instruction_takes_its_issue_time_on_one_qpu_and_on_all() -> None:
    assert cycles("issue.qpus=1") == pytest.approx(64 * 4)
    assert cycles("issue.qpus=12") == pytest.approx(64 * 4)


def test_latency_grows_by_a_step_at_each_level() -> None:
    l1, l2, sdram = (cycles(f"tmu.latency.footprint={n:06}") for n in (3072, 24576, 393216))
    assert l2 - l1 == pytest.approx(constant("l2_latency_cycles"), abs=1)
    assert sdram - l2 == pytest.approx(in_cycles("sdram_latency_s"), abs=1)


def test_lines_that_meet_in_one_set_stay_in_l2_while_they_fit_its_ways() -> None:
    times = {n: cycles(f"tmu.latency.conflicts={n:02}") for n in (2, 4, 6)}
    assert times[4] == pytest.approx(times[2])
    assert times[6] > times[4] + in_cycles("sdram_latency_s") / 2


def constant(name: str) -> float:
    return stock().v3d_value(name)


def in_cycles(name: str) -> float:
    return constant(name) * constant("clock_hz")


def test_a_burst_of_cached_uniforms_takes_its_instructions_and_one_of_fresh_ones_waits_for_memory() -> None:
    gap, loop, line_words = 7, 2, 16
    alone = 4 * (64 + gap + loop)
    line = constant("l2_latency_cycles") + in_cycles("sdram_latency_s") + in_cycles("uniform_sdram_extra_s")
    cached, fresh = (f"uniform.{kind}.words=064.gap=07.qpus=" for kind in ("burst", "fresh"))
    for qpus in (1, 2, 4, 12):
        assert cycles(f"{cached}{qpus}") == pytest.approx(alone)
    hidden = 4 * constant("uniform_fifo_words")
    in_a_burst = 64 / line_words - 1  # the fourth line's pause hides more
    assert cycles(f"{fresh}1") > alone + in_a_burst * (line - hidden)
    assert cycles(f"{fresh}12") == pytest.approx(cycles(f"{fresh}1"), rel=0.01)


def test_where_a_burst_begins_in_a_line_tells_how_many_words_come_at_full_rate() -> None:
    """Those of a burst that begins two words later end a line two words earlier."""
    refill, line = constant("uniform_refill_cycles") - constant("issue_cycles"), 16
    with VirtualV3D(stock().with_v3d(uniform_burst_words=70)) as gpu:
        times = measure(
            gpu, [b for b in stock_run().benchmarks if b.name.startswith("uniform.burst.words=145")]
        )
    waited = {
        name: round((t * constant("clock_hz") - 4 * (145 + 20 + 2)) / (line * refill))
        for name, t in times.items()
    }
    ends = [[n for n in range(16 - first, 145, 16) if n >= 70] for first in range(0, 16, 2)]
    assert list(waited.values()) == [len(words) for words in ends]


def test_what_a_line_of_uniforms_costs_beyond_its_words_falls_by_what_the_prefetch_covers() -> None:
    """Where words are spaced so widely that the prefetch covers the line, it costs nothing more."""
    beyond = {s: cycles(f"uniform.fresh.spacing={s:02}.qpus=1") - 4 * 16 * s for s in SPACINGS}
    covered = (
        constant("uniform_fifo_words") + 1
    )  # pauses from the read that starts the prefetch to the line's first word
    assert beyond[6] - beyond[8] == pytest.approx(4 * (8 - 6) * covered, abs=1)
    assert beyond[3] > beyond[6] > 0
    assert beyond[16] == pytest.approx(0, abs=1)


def test_lines_of_uniforms_come_from_l2_or_from_sdram_by_their_footprint() -> None:
    from_l2, from_sdram = (cycles(f"uniform.chase.footprint={n:05}.qpus=1") for n in (1 << 13, 1 << 17))
    more = in_cycles("sdram_latency_s") + in_cycles("uniform_sdram_extra_s")
    assert from_sdram - from_l2 == pytest.approx(more - constant("uniform_l2_extra_cycles"), abs=1)


def test_lines_that_are_read_again_come_from_memory_where_l2_does_not_hold_them() -> None:
    again = [b for b in stock_run().benchmarks if b.name.startswith("tmu.again")]
    assert len(again) == 6 and min(b.data_bytes for b in again) > constant("l2_bytes")
    for b in again:
        assert b.units / cycles(b.name) == pytest.approx(constant("memory_bytes_per_cycle"), rel=0.01)


def test_memory_that_is_cached_in_the_systems_l2_moves_faster_while_that_holds_it() -> None:
    with VirtualV3D(stock().with_gpu_memory("cached")) as gpu:
        again = [b for b in stock_run().benchmarks if b.name.startswith("tmu.again")]
        times = measure(gpu, again)
    rates = [b.units / times[b.name] / constant("clock_hz") for b in again]
    held, beyond = constant("system_l2_bytes_per_cycle"), constant("cached_memory_bytes_per_cycle")
    assert rates == pytest.approx([held] * 4 + [beyond] * 2, rel=0.01)


def test_the_systems_throughput_shows_at_other_footprints_where_queues_fall_into_a_rhythm_at_one() -> None:
    """Of ten QPUs with short queues, 96 KB take as long when the system's L2 moves 15% more."""
    shape = {"qpus": 10, "qpus_per_slice": 5, "tmu_queue_depth": 2, "tmu_cycles_per_request": 21}
    caches = {"l2_bytes": 65536, "system_l2_ways": 16, "cached_memory_bytes_per_cycle": 5.87}
    board = stock().with_gpu_memory("cached").with_v3d(**shape, **caches, l2_bytes_per_cycle=20.1)
    again = [b for b in suite(BoardShape.of(board), 2) if b.name.startswith("tmu.again")]
    times = []
    for bytes_per_cycle in (11.3, 13.0):
        with VirtualV3D(board.with_v3d(system_l2_bytes_per_cycle=bytes_per_cycle)) as gpu:
            times.append(measure(gpu, again))
    faster = [b.name for b in again if times[1][b.name] < 0.9 * times[0][b.name]]
    assert "tmu.again.footprint=098304.qpus=10" not in faster
    assert len(faster) >= 2


def test_instruction_lines_come_from_l2_or_from_sdram_by_the_loops_length() -> None:
    beyond = {n: cycles(f"icache.lines={n:04}.qpus=1") / n - 4 * 8 for n in (192, 1536)}
    from_l2 = constant("l2_latency_cycles") + constant("icache_extra_cycles")
    assert beyond[192] == pytest.approx(from_l2, rel=0.01)
    assert beyond[1536] == pytest.approx(from_l2 + in_cycles("sdram_latency_s"), rel=0.01)


@pytest.mark.parametrize(("kind", "engine", "rows"), [("store", "vdw", "016"), ("load", "vdr", "16")])
def test_rows_cost_by_their_bytes(kind: str, engine: str, rows: str) -> None:
    times = {n: cycles(f"dma.{kind}.rows={rows}.words={n:02}.qpus=1") for n in (*ROW_WORDS, 16)}
    for few, many in pairwise(sorted(times)):
        more = 16 * 4 * (many - few) * constant(f"{engine}_byte_cycles")
        assert times[many] - times[few] == pytest.approx(more, abs=1)


def test_a_store_that_follows_a_store_saves_no_more_than_the_wait_between() -> None:
    for rows, words in ((1, 16), (16, 16)):
        alone = cycles(f"dma.store.rows={rows:03}.words={words:02}.qpus=1")
        following = cycles(f"dma.store.follows.rows={rows:02}.words={words:02}")
        assert IN_A_ROW * (alone - 4 * 5) < following < IN_A_ROW * alone


def test_the_slow_qpu_of_three_tells_who_is_served_first() -> None:
    with VirtualV3D(stock().with_v3d(lowest_qpu_first=1)) as gpu:
        lowest = measure(gpu, [b for b in stock_run().benchmarks if b.family == "arbitration"])
    for what in ("mutex", "store", "load"):
        first, last = (f"arbitration.{what}.slow={place}" for place in ("first", "last"))
        assert cycles(first) == pytest.approx(cycles(last), rel=0.01)
        assert lowest[last] > 1.3 * lowest[first]


def test_the_published_figures_that_set_constants_are_met_within_15_percent() -> None:
    used = [c for c in stock_run().comparisons if c.figure.sets or c.figure.unit == "MB/s"]
    assert len(used) >= 8
    assert [c.figure.what for c in used if not c.agrees] == []


def test_tables_name_every_figure_and_every_benchmark() -> None:
    run = stock_run()
    figures = figures_table(run.comparisons)
    assert all(c.figure.what in figures for c in run.comparisons)
    assert measurements_table(run).count("\n") == len(run.benchmarks) + 1


@pytest.mark.parametrize(("slices", "per_slice", "tmus", "depth"), [(2, 3, 1, 2), (4, 4, 2, 6), (1, 1, 1, 1)])
def test_the_suite_runs_on_other_shapes(slices: int, per_slice: int, tmus: int, depth: int) -> None:
    profile = stock().with_v3d(
        qpus=slices * per_slice, qpus_per_slice=per_slice, tmus_per_slice=tmus, tmu_queue_depth=depth
    )
    with VirtualV3D(profile) as gpu:
        chosen = suite(BoardShape.of(profile), queue_depth(gpu))
        times = measure(gpu, chosen)
    assert len(times) == len({b.name for b in chosen}) == len(chosen)
    assert min(times.values()) > 0
