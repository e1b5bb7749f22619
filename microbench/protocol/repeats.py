"""The median of repeats with its confidence interval, and which repeats are far from the others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 2000
CONFIDENCE = 0.95
FAR = 3.5  # modified z-score; Iglewicz and Hoaglin, How to Detect and Handle Outliers (1993), page 11
FEWEST_REFERENCES = 3  # that show a spread
MEAN_DEVIATION_TO_SIGMA = 1.2533  # of a normal distribution: sqrt(pi / 2)


@dataclass(frozen=True)
class Estimate:
    """A median in seconds, the interval that holds it with the given confidence, and repeats that are outliers."""

    time_s: float
    low_s: float
    high_s: float
    confidence: float
    outliers: tuple[bool, ...]

    @property
    def relative_width(self) -> float:
        """The interval's width as a fraction of the median; 0 for a median of 0."""
        return (self.high_s - self.low_s) / self.time_s if self.time_s else 0.0


def estimate(times_s: Sequence[float], seed: int = 0, confidence: float = CONFIDENCE) -> Estimate:
    """Median of all repeats, outliers among them, with a percentile bootstrap interval.

    Equal times and seeds give equal intervals. One repeat says nothing of its own spread: its interval is itself.
    Source: Efron and Tibshirani, An Introduction to the Bootstrap (1993), chapter 13. Raises ValueError without times.
    """
    if not times_s:
        raise ValueError("there is no estimate without times")
    times = np.sort(np.asarray(times_s, dtype=np.float64))  # the order of the repeats must not matter
    low_s, high_s = _interval_of_median(times, seed, confidence)
    return Estimate(float(np.median(times)), low_s, high_s, confidence, outliers(times_s))


def _interval_of_median(times: NDArray[np.float64], seed: int, confidence: float) -> tuple[float, float]:
    from scipy.stats import bootstrap  # takes a moment to load

    if len(times) < 2:
        return float(times[0]), float(times[0])
    found = bootstrap(
        (times,),
        np.median,
        n_resamples=RESAMPLES,
        confidence_level=confidence,
        method="percentile",
        rng=np.random.default_rng(seed),
    ).confidence_interval
    # Its percentiles round: they may lie a last bit beyond the times, and beside the median.
    low_s, high_s = np.clip((found.low, found.high), times.min(), times.max())
    median_s = float(np.median(times))
    return min(float(low_s), median_s), max(float(high_s), median_s)


def outliers(times_s: Sequence[float]) -> tuple[bool, ...]:
    """Which repeats are far from the median, measured by the median absolute deviation; never among fewer than three.

    Where most repeats are equal that deviation is 0, and the mean absolute deviation takes its place.
    """
    from scipy.stats import median_abs_deviation  # takes a moment to load

    times = np.asarray(times_s, dtype=np.float64)
    if len(times) < 3:
        return (False,) * len(times)
    distances = np.abs(times - np.median(times))
    sigma = float(median_abs_deviation(times, scale="normal"))
    sigma = sigma or MEAN_DEVIATION_TO_SIGMA * float(np.mean(distances))
    return tuple(bool(distance > FAR * sigma) for distance in distances)


@dataclass(frozen=True)
class ReferenceTimes:
    """What a noise floor is the spread of: how often the reference was timed, its median in seconds, of which kind."""

    timings: int
    median_s: float
    kind: str


def noise_floor(reference_s: Sequence[float]) -> float | None:
    """The spread of a reference kernel's medians over a run as a fraction of their median: closer times are equal.

    Half the range that holds the middle 95 % of them. None for fewer than three, which show no spread.
    """
    if len(reference_s) < FEWEST_REFERENCES:
        return None
    low_s, middle_s, high_s = np.percentile(np.asarray(reference_s, dtype=np.float64), [2.5, 50, 97.5])
    return float((high_s - low_s) / (2 * middle_s)) if middle_s else None
