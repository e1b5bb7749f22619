"""The fit finds constants that a virtual board was given and it was not told."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from microbench.calibration.calibrate import calibrate
from microbench.calibration.constants import ranges
from microbench.calibration.fitter import EXACT, Fitter
from microbench.calibration.forward import ForwardModel
from microbench.calibration.identify import intervals, sensitivities
from microbench.calibration.profile_file import fitted_on
from microbench.calibration.recover import random_profile, recover, table
from microbench.profile import load_profile
from microbench.suite.gpu import BoardShape
from microbench.suite.runner import measure
from microbench.suite.suite import suite
from microbench.virtual import VirtualV3D

STOCK = load_profile("pi-zero")
TRUE = {"vdw_setup_s": 210e-9, "vdw_row_cycles": 9.5, "issue_cycles": 5.0}
LONG_BURSTS = ("uniform.burst.words=208", "uniform.burst.words=145")


def fitter(model: ForwardModel, true: dict[str, float]) -> Fitter:
    with VirtualV3D(STOCK.with_v3d(**true)) as gpu:
        measured = measure(gpu, suite(BoardShape.of(STOCK), 4))
    return Fitter(model, measured, ranges(STOCK.v3d), {name: STOCK.v3d_value(name) for name in true})


@pytest.fixture
def model() -> Iterator[ForwardModel]:
    with ForwardModel(STOCK, queue_depth=4) as model:
        yield model


def test_real_and_whole_constants_are_found_with_intervals(model: ForwardModel) -> None:
    found = fitter(model, TRUE)
    found.locate("issue_cycles", ("issue.",))
    for name in ("vdw_row_cycles", "vdw_setup_s"):
        found.locate(name, ("dma.store",))
    found.refine(("vdw_row_cycles", "vdw_setup_s"), ("dma.store",))
    assert found.values["issue_cycles"] == 5
    assert found.values["vdw_setup_s"] == pytest.approx(TRUE["vdw_setup_s"], rel=0.05)
    assert found.values["vdw_row_cycles"] == pytest.approx(TRUE["vdw_row_cycles"], rel=0.05)
    shown = sensitivities(model, found.values, found.ranges)
    for name, interval in intervals(found, shown, STOCK.v3d_value("clock_hz")).items():
        assert interval.low <= TRUE[name] <= interval.high
        assert interval.high / interval.low < 1.2


def test_sizes_are_found_by_a_scan_over_both(model: ForwardModel) -> None:
    true = {"icache_bytes": 8192.0, "icache_ways": 2.0}
    found = fitter(model, true)
    found.scan(tuple(true), ("icache.",))
    assert found.values == true


def test_a_constant_is_found_just_past_where_it_begins_to_matter(model: ForwardModel) -> None:
    true = {"uniform_refill_cycles": 4.2}  # words are read every 4 cycles
    found = fitter(model, true)
    found.locate("uniform_refill_cycles", ("uniform.burst.words=064.gap=03",))
    found.refine(("uniform_refill_cycles",), ("uniform.burst.words=064.gap=03",))
    assert found.values["uniform_refill_cycles"] == pytest.approx(4.2, rel=0.02)


def test_what_no_launch_time_shows_is_said_so(model: ForwardModel) -> None:
    values = {"sfu_exp_bits": 11.0, "memory_bytes_per_cycle": 5.2}
    shown = sensitivities(model, values, ranges(STOCK.v3d))
    assert not shown["sfu_exp_bits"].shows
    assert not shown["sfu_exp_bits"].benchmarks
    assert shown["memory_bytes_per_cycle"].shows
    assert any(name.startswith("tmu.stream") for name in shown["memory_bytes_per_cycle"].benchmarks)


def test_an_impossible_machine_fits_nothing(model: ForwardModel) -> None:
    few = model.named(("issue.",))
    assert not any(map(float, model.log_times({"l2_ways": 4.0}, few) == float("inf")))
    assert all(model.log_times({"l2_ways": 1024.0}, few) == float("inf"))


@pytest.mark.parametrize("true", [0.0, 60.0])
def test_nothing_of_a_constant_is_found_where_a_board_has_nothing_of_it(
    model: ForwardModel, true: float
) -> None:
    name, chase = "uniform_l2_extra_cycles", "uniform.chase.footprint=08192"
    found = fitter(model, {name: true})
    found.locate(name, (chase,))
    found.refine((name,), (chase,))
    found.polish((name,), (chase,))
    assert found.values[name] == true
    shown = sensitivities(model, found.values, found.ranges)
    assert shown[name].shows
    assert intervals(found, shown, STOCK.v3d_value("clock_hz"))[name].low <= true


@pytest.mark.parametrize("true", [0.0, 1.0])
def test_who_is_served_first_is_found(model: ForwardModel, true: float) -> None:
    found = fitter(model, {"lowest_qpu_first": true})
    found.polish(("lowest_qpu_first",), ("arbitration",))
    assert found.values == {"lowest_qpu_first": true}
    shown = sensitivities(model, found.values, found.ranges)
    interval = intervals(found, shown, STOCK.v3d_value("clock_hz"))["lowest_qpu_first"]
    assert (interval.low, interval.high) == (true, true)


def test_a_size_is_found_whose_cache_is_faster_or_slower_than_the_profiles() -> None:
    """At the profile's throughput, a system's L2 that is hardly faster than memory looks like none."""
    cached = STOCK.with_gpu_memory("cached").with_v3d(cached_memory_bytes_per_cycle=3.5)
    true = {"system_l2_bytes": 262144.0, "system_l2_bytes_per_cycle": 4.1}
    with VirtualV3D(cached.with_v3d(**true)) as gpu:
        measured = measure(gpu, suite(BoardShape.of(STOCK), 4))
    with ForwardModel(cached, queue_depth=4) as model:
        found = Fitter(model, measured, ranges(cached.v3d), {name: cached.v3d_value(name) for name in true})
        found.scan(("system_l2_bytes",), ("tmu.again",))
        assert found.values["system_l2_bytes"] != true["system_l2_bytes"]
        found.values = {name: cached.v3d_value(name) for name in true}
        found.scan(("system_l2_bytes",), ("tmu.again",), along=("system_l2_bytes_per_cycle",))
    assert found.values == pytest.approx(true, rel=0.01)


def test_a_scan_leaves_what_changes_nothing(model: ForwardModel) -> None:
    start = {"system_l2_bytes": 131072.0, "system_l2_bytes_per_cycle": 8.0}  # which memory goes past
    found = fitter(model, start)
    found.scan(("system_l2_bytes",), ("tmu.again",), along=("system_l2_bytes_per_cycle",))
    assert found.values == start


def test_words_at_full_rate_are_told_from_a_line_less_and_a_slower_refill(model: ForwardModel) -> None:
    """From a line less on, Gauss-Newton does not come back: words are whole, and a line counts as one."""
    true = {"uniform_refill_cycles": 7.5, "uniform_burst_words": 69.0}
    found = fitter(model, true)
    found.values = {"uniform_refill_cycles": 7.0, "uniform_burst_words": 53.0}
    found.refine(tuple(true), LONG_BURSTS)
    found.polish(tuple(true), LONG_BURSTS)
    assert abs(found.values["uniform_burst_words"] - 69) > 2


@pytest.mark.parametrize(("refill", "words", "pause"), [(7.5, 69.0, 7.0), (4.4, 50.0, 9.0)])
def test_words_at_full_rate_and_their_refill_are_found_by_a_scan(
    model: ForwardModel, refill: float, words: float, pause: float
) -> None:
    """With a refill hardly slower than an instruction too, and whatever pause a burst needs before it."""
    true = {"uniform_refill_cycles": refill, "uniform_burst_words": words}
    found = fitter(model, {**true, "uniform_pause_instructions": pause})
    found.values |= {
        "uniform_refill_cycles": 7.0,
        "uniform_burst_words": 53.0,
        "uniform_pause_instructions": 2.0,
    }
    found.scan(("uniform_burst_words",), LONG_BURSTS, along=("uniform_refill_cycles",), every=4)
    assert found.values["uniform_refill_cycles"] == pytest.approx(refill, rel=0.03)
    assert found.values["uniform_burst_words"] == pytest.approx(words, abs=2)


def test_the_pause_is_found_from_where_a_step_more_changes_nothing(model: ForwardModel) -> None:
    name, bursts = "uniform_pause_instructions", ("uniform.burst.words=064",)
    found = fitter(model, {name: 6.0})
    found.values = {name: 2.0}  # as good as 3, as no gap is so short
    found.polish((name,), bursts)
    assert found.values == {name: 2.0}
    found.scan((name,), bursts, every=1)
    assert found.values == {name: 6.0}


def test_nudges_go_down_the_steps_of_whole_instructions(model: ForwardModel) -> None:
    true = {"vdr_setup_s": 193e-9, "vdr_row_cycles": 6.2, "vdr_byte_cycles": 0.314}
    found = fitter(model, true)
    found.values = {"vdr_setup_s": 187e-9, "vdr_row_cycles": 6.3, "vdr_byte_cycles": 0.3133}
    assert found.rms(("dma.load",)) > 1e-3
    found.polish(tuple(true), ("dma.load",), nudged=True)
    assert found.rms(("dma.load",)) < EXACT
    assert found.values == pytest.approx(true, rel=0.02)


@pytest.mark.slow
def test_a_random_board_is_calibrated() -> None:
    true = random_profile(STOCK, seed=101)
    with VirtualV3D(true) as gpu:
        found = calibrate(gpu, BoardShape.of(true), STOCK, workers=2)
    assert len(found.identified) >= 20
    for fitted in found.identified:
        assert fitted.value == pytest.approx(true.v3d_value(fitted.name), rel=0.05), fitted.name
        assert found.profile.v3d[fitted.name].source.startswith(fitted_on("the virtual board"))
    kept = {f.name for f in found.fitted_constants if f.interval is None}
    assert {"sfu_exp_bits", "clock_hz", "qpus"} <= kept
    assert found.profile.v3d["sfu_exp_bits"] == STOCK.v3d["sfu_exp_bits"]


@pytest.mark.slow
def test_recovery_finds_all_that_shows() -> None:
    found = recover(STOCK, seed=102)
    assert [t for t in found.trials if t.shows and not (t.named and t.error <= 0.05)] == []
    assert [c for c in found.choices if c.shows and c.found != c.true] == []
    assert "0 are not found" in table(found)
