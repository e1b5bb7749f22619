"""Statistics, order and drift: what a time is worth."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from microbench.conditions import Conditions
from microbench.protocol import Limits, estimate, moved, noise_floor, outliers, throttle_advice, turns
from microbench.protocol.order import shuffled

TIMES = st.lists(st.floats(1e-9, 1e3), min_size=1, max_size=20)


@example(times=[1.0, 640.7957365841952, 640.7957365841952], seed=0)
@given(TIMES, st.integers(0, 5))
@example([1.0, 320.8510558961555], 0)
def test_the_interval_holds_the_median_and_lies_within_the_times(times: list[float], seed: int) -> None:
    found = estimate(times, seed)
    assert min(times) <= found.low_s <= found.time_s <= found.high_s <= max(times)
    assert found.time_s == pytest.approx(float(np.median(times)))
    assert len(found.outliers) == len(times)
    backwards = estimate(times[::-1], seed)
    assert (backwards.low_s, backwards.high_s) == (found.low_s, found.high_s)


def test_the_interval_covers_the_true_median_as_often_as_it_says() -> None:
    random = np.random.default_rng(1)
    covered = 0
    for _ in range(200):
        found = estimate(tuple(random.exponential(1.0, size=25)))
        covered += found.low_s <= np.log(2) <= found.high_s
    assert 180 <= covered <= 200  # 95 %, within four standard deviations of 200 trials


def test_more_repeats_make_the_interval_narrower() -> None:
    random = np.random.default_rng(2)
    few, many = (estimate(tuple(random.normal(1.0, 0.1, size=n))) for n in (9, 225))
    assert 3 < few.relative_width / many.relative_width < 10  # about the root of 25


def test_one_time_is_its_own_interval_and_none_is_an_error() -> None:
    assert estimate((2.0,)).relative_width == 0.0
    with pytest.raises(ValueError, match="without times"):
        estimate(())


def test_outliers_are_marked_where_they_stand() -> None:
    assert outliers((1.0, 1.01, 9.0, 0.99, 1.02)) == (False, False, True, False, False)
    assert outliers((1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 5.0)) == (*(False,) * 6, True)
    assert outliers((1.0, 9.0)) == (False, False)
    assert outliers((1.0,) * 5) == (False,) * 5


def test_an_outlier_still_counts() -> None:
    assert estimate((1.0, 2.0, 3.0, 4.0, 500.0)).time_s == 3.0


def test_the_noise_floor_is_half_the_reference_spread() -> None:
    assert noise_floor((1.0, 1.1)) is None
    assert noise_floor((1.0,) * 9) == 0.0
    assert noise_floor(tuple(np.linspace(0.9, 1.1, 1001))) == pytest.approx(0.095)


@given(st.sets(st.text("abc", min_size=1, max_size=4)), st.sets(st.text("abc", min_size=1, max_size=4)))
def test_what_is_left_of_a_batch_keeps_its_order(batch: set[str], done: set[str]) -> None:
    whole = shuffled(sorted(batch), sorted(batch), 3)
    left = sorted(batch - done)
    assert shuffled(left, left, 3) == tuple(item for item in whole if item not in done)


def test_the_order_is_random_but_the_seeds_own() -> None:
    keys = [str(n) for n in range(100)]
    first, again, other = (shuffled(keys, keys, seed) for seed in (1, 1, 2))
    assert first == again != other
    assert first != tuple(keys) and sorted(first) == sorted(keys)


@pytest.mark.parametrize(("count", "expected"), [(0, 0), (1, 2), (4, 2), (5, 3), (9, 4)])
def test_the_reference_stands_before_between_and_after(count: int, expected: int) -> None:
    keys = [str(n) for n in range(count)]
    order = [turn.item for turn in turns(keys, keys, 0, every=4)]
    assert order.count(None) == expected
    assert sorted(item for item in order if item is not None) == keys
    if order:
        assert order[0] is None and order[-1] is None


def test_a_board_that_moved_says_how() -> None:
    steady = (Conditions(1e9, 250e6, 50.0), Conditions(0.99e9, 250e6, 55.0), Conditions())
    assert moved(steady) == ()
    assert moved((*steady, Conditions(0.5e9))) == ("CPU clock from 500 to 1000 MHz",)
    assert moved((*steady, Conditions(gpu_clock_hz=200e6))) == ("GPU clock from 200 to 250 MHz",)
    assert moved((*steady, Conditions(temperature_c=60.5))) == ("temperature from 50.0 to 60.5 °C",)
    assert moved(steady, Limits(clock=0.001, temperature_c=1.0)) != ()
    assert moved(()) == ()


def test_a_throttling_board_is_advised_once_per_reason() -> None:
    since_boot_only = Conditions(throttle_flags=0x50000)
    assert throttle_advice((since_boot_only, Conditions())) is None
    advice = throttle_advice((Conditions(throttle_flags=0x5), Conditions(throttle_flags=0x1)))
    assert advice is not None
    assert "under-voltage, throttled" in advice and advice.count("power supply") == 1
