"""What the times of a comparison say: quartiles, the fastest peer, and the geometric mean of ratios to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

TimesArray = npt.NDArray[np.float64]
Picks = npt.NDArray[np.int64]
RESAMPLES = 2000
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Spread:
    """Of all runs of all rounds, in seconds."""

    median_s: float
    low_quartile_s: float
    high_quartile_s: float
    fastest_s: float


@dataclass(frozen=True)
class Network:
    """Times of one network by one number of threads, in nanoseconds [rounds, runs]: ours, and of peers that agree."""

    name: str
    ours_ns: TimesArray
    peers_ns: Mapping[str, TimesArray]


@dataclass(frozen=True)
class MeanRatio:
    """Geometric mean over networks of (ours / fastest peer), with its bootstrap interval; below 1 we are faster."""

    ratio: float
    low: float
    high: float
    networks: tuple[str, ...]


def spread_of(times_ns: TimesArray) -> Spread:
    """Median, quartiles and fastest of all runs."""
    low, middle, high = np.percentile(times_ns, [25, 50, 75]) * 1e-9
    return Spread(float(middle), float(low), float(high), float(np.min(times_ns)) * 1e-9)


def fastest(times_ns: Mapping[str, TimesArray]) -> str | None:
    """The name of smallest median; None of none."""
    return min(times_ns, key=lambda name: float(np.median(times_ns[name])), default=None)


def mean_ratio(networks: Sequence[Network], seed: int = 0, resamples: int = RESAMPLES) -> MeanRatio | None:
    """Geometric mean of the ratios of medians; None where no network has both ours and a peer.

    Rounds are resampled, in each network the same ones for all engines, as these were interleaved; which peer is the
    fastest is decided anew in each resample. Percentile interval (Efron and Tibshirani, An Introduction to the
    Bootstrap (1993), chapter 13). Equal times and seeds give equal intervals.
    """
    usable = [network for network in networks if network.peers_ns]
    if not usable:
        return None
    from scipy.stats import bootstrap  # takes a moment to load

    def mean_log_ratio(*picks: Picks, axis: int = -1) -> TimesArray:
        logs = [np.log(_ratios(network, rows)) for network, rows in zip(usable, picks, strict=True)]
        return np.asarray(np.mean(logs, axis=0))

    rounds = [_rounds(network) for network in usable]
    interval = bootstrap(
        rounds,
        mean_log_ratio,
        n_resamples=resamples,
        vectorized=True,
        confidence_level=CONFIDENCE,
        method="percentile",
        rng=np.random.default_rng(seed),
    ).confidence_interval
    low, point, high = np.exp([interval.low, mean_log_ratio(*rounds), interval.high])
    return MeanRatio(float(point), float(low), float(high), tuple(network.name for network in usable))


def _rounds(network: Network) -> Picks:
    """Every round once; an only one twice, as nothing can be resampled of fewer than two."""
    return np.resize(np.arange(network.ours_ns.shape[0]), max(2, network.ours_ns.shape[0]))


def _ratios(network: Network, picks: Picks) -> TimesArray:
    """Ours over the fastest peer for picked rounds: [..., rounds] gives [...]."""
    peers = np.min([_medians(times_ns, picks) for times_ns in network.peers_ns.values()], axis=0)
    return np.asarray(_medians(network.ours_ns, picks) / peers)


def _medians(times_ns: TimesArray, picks: Picks) -> TimesArray:
    return np.asarray(np.median(times_ns[picks], axis=(-2, -1)))
