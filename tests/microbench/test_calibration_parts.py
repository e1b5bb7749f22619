"""The parts of calibration: values a constant may take, sizes from steps, and the profile that is written."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from microbench.calibration.constants import Kind, ranges
from microbench.calibration.identify import Sensitivity
from microbench.calibration.profile_file import write_profile
from microbench.calibration.recover import SPREAD, Choice, Recovery, Trial, missed, random_profile, table
from microbench.calibration.steps import cache_sizes, pause_instructions
from microbench.calibration.variants import OWN, UNNAMED, mechanisms
from microbench.profile import DeviceProfile, known_profiles, load_profile
from microbench.suite.gpu import TOLD

STOCK = load_profile("pi-zero")
RANGES = ranges(STOCK.v3d)
VARIANTS = ((70.0, 300e-9), (2.0, 300e-9), (0.0, 1e-9), (70.0, 0.0))


def test_what_the_board_states_is_not_fitted() -> None:
    assert {name for name, r in RANGES.items() if r.kind is Kind.TOLD} == set(TOLD)


@given(st.sampled_from(sorted(RANGES)), st.floats(min_value=0.2, max_value=5))
def test_neighbours_and_variations_are_possible_values(name: str, factor: float) -> None:
    bounds = RANGES[name]
    value = bounds.nearest(bounds.start * factor)
    for other in (*bounds.alternatives(value), *bounds.varied(value, 0.25)):
        assert other != value
        assert bounds.low <= other <= bounds.high
        assert bounds.nearest(other) == pytest.approx(other)


def test_a_small_whole_number_varies_by_a_step() -> None:
    assert RANGES["vpm_write_fifo_vectors"].varied(2.0, 0.25) == (1.0, 3.0)
    assert RANGES["l2_bytes"].varied(32768.0, 0.25) == (16384.0, 65536.0)


def curve(name: str, times: dict[int, float]) -> dict[str, float]:
    return {f"{name}={place:06}": time_s for place, time_s in times.items()}


def test_cache_sizes_are_where_latency_leaves_a_plateau() -> None:
    latency = curve(
        "tmu.latency.footprint", {1536: 1.0, 3072: 1.0, 6144: 1.1, 12288: 1.2, 24576: 1.2, 49152: 2.0}
    )
    conflicts = curve("tmu.latency.conflicts", {1: 1.0, 2: 1.2, 4: 1.2, 6: 2.0, 8: 2.0})
    loops = {
        f"icache.lines={lines:04}.qpus=1": lines * (2.0 if lines > 48 else 1.0) for lines in (24, 48, 96)
    }
    found = cache_sizes({**latency, **conflicts, **loops})
    assert found == {"tmu_l1_bytes": 4096, "l2_bytes": 32768, "l2_ways": 4, "icache_bytes": 4096}


def test_flat_curves_give_no_sizes() -> None:
    assert cache_sizes(curve("tmu.latency.footprint", {1536: 1.0, 3072: 1.0})) == {}


def test_the_pause_is_where_a_longer_gap_takes_less_time() -> None:
    times = {gap: (2.0 if gap < 6 else 1.0) + 0.01 * gap for gap in range(10)}
    bursts = {f"uniform.burst.words=064.gap={gap:02}.qpus=1": t for gap, t in times.items()}
    assert pause_instructions(bursts) == 7
    assert pause_instructions({name: 1.0 for name in bursts}) is None


@pytest.mark.parametrize(
    ("less", "more", "shows", "side"),
    [
        (0.2, 0.02, True, None),
        (0.2, None, True, None),
        (0.0, 0.0, False, None),
        (0.0, 0.2, False, "more"),
        (0.2, 0.001, False, "less"),
        (None, None, False, None),
    ],
)
def test_a_constant_shows_when_both_less_and_more_of_it_do(
    less: float | None, more: float | None, shows: bool, side: str | None
) -> None:
    found = Sensitivity(less, more, ())
    assert (found.shows, found.side) == (shows, side)


@pytest.mark.parametrize("name", known_profiles())
def test_a_profile_is_read_back_as_it_was_written(name: str, tmp_path: Path) -> None:
    path = tmp_path / "deep" / "copy.toml"
    write_profile(load_profile(name), path)
    assert load_profile(str(path)) == load_profile(name)


@given(st.integers(min_value=0, max_value=10_000))
def test_random_profiles_are_near_the_stock_one_and_possible(seed: int) -> None:
    drawn = random_profile(STOCK, seed)
    assert drawn.v3d_value("qpus") % drawn.v3d_value("qpus_per_slice") == 0
    for name, bounds in RANGES.items():
        value = drawn.v3d_value(name)
        if bounds.kind is Kind.POWER:
            assert value / bounds.start in (0.5, 1, 2)
        elif bounds.kind in (Kind.SWITCH, Kind.CHOSEN):
            assert value in (0, 1)
        elif bounds.may_be_absent and value == 0:
            pass
        elif name not in {"qpus", "qpus_per_slice", "tmus_per_slice"}:
            assert abs(value - bounds.start) <= SPREAD * bounds.start + (
                0.5 if bounds.kind is Kind.WHOLE else 0
            )


def test_the_table_counts_what_was_found_and_lists_what_was_not() -> None:
    trials = (
        Trial(1, "a", 100.0, 101.0, 80.0, shows=True, named=True, covered=True),
        Trial(2, "a", 100.0, 120.0, 80.0, shows=True, named=True, covered=False),
        Trial(1, "b", 5.0, 9.0, 5.0, shows=False, named=False, covered=False),
    )
    choices = (
        Choice(1, ("a", "b"), "small", "small", shows=True),
        Choice(2, ("a", "b"), "small", "large", shows=True),
        Choice(3, ("a", "b"), "large", None, shows=False),
    )
    text = table(Recovery(trials, choices))
    assert "| a | 2 | 1 | 20.00% | 1 of 2 | 0 | 0 |" in text
    assert "| b | 0 | 0 | - | 0 of 0 | 1 | 0 |" in text
    assert "- board 2: a is 100, fitted, 120" in text
    assert "1 are not found within 5%" in text
    assert "| a, b | small | 2 | 2 | 1 |" in text
    assert "| a, b | large | 1 | 0 | 0 |" in text
    assert "- board 2: a, b: small, named large" in text
    assert missed(Recovery(trials, choices)) == [
        "- board 2: a is 100, fitted, 120",
        "- board 2: a, b: small, named large",
    ]
    assert missed(Recovery(trials[:1], choices[:1])) == []


def test_an_error_of_what_a_board_has_nothing_of_is_a_share_of_the_stock_value() -> None:
    assert Trial(1, "a", 0.0, 4.0, 80.0, True, True, True).error == pytest.approx(0.05)
    assert Trial(1, "switch", 0.0, 1.0, 0.0, True, True, True).error == 1.0


def test_variants_are_told_by_what_a_board_has_nothing_of() -> None:
    uniforms, arbitration = mechanisms(STOCK)
    assert tuple(uniforms.full) == ("uniform_l2_extra_cycles", "uniform_sdram_extra_s")
    assert [uniforms.choice(dict(zip(uniforms.full, v, strict=True))) for v in VARIANTS] == [
        *(OWN, "uniform-sdram", "uniform-0", UNNAMED)
    ]
    assert [arbitration.choice({"lowest_qpu_first": v}) for v in (0, 1)] == [OWN, "lowest-first"]


@pytest.mark.parametrize("variant", ["uniform-sdram", "uniform-0", "lowest-first"])
def test_a_variant_of_the_stock_profile_is_told_as_itself(variant: str) -> None:
    values = {name: c.value for name, c in STOCK.with_variant(variant).v3d.items()}
    assert variant in {m.choice(values) for m in mechanisms(STOCK)}


def test_variants_that_only_scale_constants_are_no_choice_of_what_is_there() -> None:
    slow = {"source": "assumed", "v3d": {"memory_bytes_per_cycle": 4.0}}
    only = {**STOCK.model_dump(), "variants": {"slow": slow}, "robust_against": ("slow",)}
    assert mechanisms(DeviceProfile.model_validate(only)) == ()


def test_random_boards_are_every_variant() -> None:
    drawn = {
        (tuple(m.full), m.choice({name: c.value for name, c in random_profile(STOCK, seed).v3d.items()}))
        for seed in range(40)
        for m in mechanisms(STOCK)
    }
    assert len(drawn) == sum(len(m.choices) for m in mechanisms(STOCK)) == 5
