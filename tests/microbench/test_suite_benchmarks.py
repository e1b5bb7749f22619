"""The suite runs on boards of any shape, and its times are those of the constants they are made for."""

from __future__ import annotations

from functools import cache

import pytest

from microbench.profile import DeviceProfile, load_profile
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
    assert l2 - l1 == pytest.approx(stock().v3d_value("l2_latency_cycles"), abs=1)
    assert sdram - l2 == pytest.approx(stock().v3d_value("sdram_latency_s") * 250e6, abs=1)


def test_lines_that_meet_in_one_set_stay_in_l2_while_they_fit_its_ways() -> None:
    times = {n: cycles(f"tmu.latency.conflicts={n:02}") for n in (2, 4, 6)}
    assert times[4] == pytest.approx(times[2])
    assert times[6] > times[4] + stock().v3d_value("sdram_latency_s") * 250e6 / 2


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
