"""Quartiles, the fastest peer and the geometric mean of ratios, on times whose answers are known."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from microbench.peers.ratios import Network, TimesArray, fastest, mean_ratio, spread_of


def constant(time_ns: float, rounds: int = 5, runs: int = 4) -> TimesArray:
    return np.full((rounds, runs), time_ns)


def noisy(median_ns: float, seed: int, rounds: int = 15) -> TimesArray:
    return median_ns * np.random.default_rng(seed).lognormal(0.0, 0.1, size=(rounds, 8))


def test_the_spread_is_of_all_runs_in_seconds() -> None:
    spread = spread_of(np.arange(1.0, 10.0).reshape(3, 3) * 1e9)
    assert (spread.low_quartile_s, spread.median_s, spread.high_quartile_s) == pytest.approx((3, 5, 7))
    assert spread.fastest_s == pytest.approx(1)


def test_the_fastest_has_the_smallest_median_not_the_smallest_time() -> None:
    lucky = np.array([[1.0, 9.0, 9.0]])
    assert fastest({"lucky": lucky, "steady": constant(5.0)}) == "steady"
    assert fastest({}) is None


def test_the_mean_of_ratios_is_geometric_and_to_the_fastest_peer_of_each_network() -> None:
    networks = [
        Network("a", constant(2.0), {"x": constant(1.0), "y": constant(7.0)}),
        Network("b", constant(1.0), {"x": constant(9.0), "y": constant(8.0)}),
    ]
    mean = mean_ratio(networks)
    assert mean is not None
    assert mean.ratio == pytest.approx(math.sqrt(2.0 * (1 / 8)))
    assert (mean.low, mean.high) == pytest.approx((mean.ratio, mean.ratio))  # constant times leave no doubt
    assert mean.networks == ("a", "b")


def test_networks_without_a_peer_are_not_counted() -> None:
    mean = mean_ratio([Network("a", constant(3.0), {"x": constant(1.0)}), Network("b", constant(1.0), {})])
    assert mean is not None
    assert mean.ratio == pytest.approx(3.0)
    assert mean.networks == ("a",)
    assert mean_ratio([]) is None


def test_the_interval_holds_the_ratio_and_narrows_with_more_rounds() -> None:
    def width(rounds: int) -> float:
        mean = mean_ratio([Network("a", noisy(2e6, 1, rounds), {"x": noisy(1e6, 2, rounds)})])
        assert mean is not None
        assert mean.low <= mean.ratio <= mean.high
        assert mean.low < 2.0 < mean.high
        return mean.high - mean.low

    assert width(200) < width(8)


def test_rounds_that_were_slow_for_all_do_not_widen_the_interval() -> None:
    drift = np.linspace(1.0, 3.0, 15)[:, np.newaxis] * np.ones((15, 4))
    together = mean_ratio([Network("a", 2e6 * drift, {"x": 1e6 * drift})])
    apart = mean_ratio([Network("a", 2e6 * drift, {"x": 1e6 * drift[::-1]})])
    assert together is not None
    assert apart is not None
    assert together.high - together.low < 1e-6 < apart.high - apart.low


@given(st.floats(0.01, 100.0), st.integers(0, 3))
def test_the_unit_of_time_does_not_matter(scale: float, seed: int) -> None:
    ours, theirs = noisy(2e6, 3), noisy(1e6, 4)
    one = mean_ratio([Network("a", ours, {"x": theirs})], seed, resamples=50)
    other = mean_ratio([Network("a", scale * ours, {"x": scale * theirs})], seed, resamples=50)
    assert one is not None
    assert other is not None
    assert (one.ratio, one.low, one.high) == pytest.approx((other.ratio, other.low, other.high))
