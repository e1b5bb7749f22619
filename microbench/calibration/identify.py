"""Which constants the measurements show, and within which interval."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from microbench.calibration.constants import Kind, Range
from microbench.calibration.fitter import EXACT, Fitter
from microbench.calibration.forward import Floats, ForwardModel
from microbench.suite.benchmark import Benchmark

SHARE = 0.25  # by how much a constant is varied; a discrete one by a step at least
THRESHOLD = 0.01  # share of a benchmark's time that counts as a change
_RESOLUTION = 1e-4  # relative; what two times must differ by to tell two values apart
_WIDEST = 0.7  # of a logarithm
_BISECTIONS = 6
_SIGMAS = 2.0


@dataclass(frozen=True)
class Sensitivity:
    """The largest changes of any benchmark's log time when a constant is less or more; None where it cannot be."""

    less: float | None
    more: float | None
    benchmarks: tuple[str, ...]  # that change at all

    @property
    def shows(self) -> bool:
        """Whether the measurements would tell both less and more from the value itself."""
        sides = [s for s in (self.less, self.more) if s is not None]
        return bool(sides) and min(sides) >= THRESHOLD

    @property
    def side(self) -> Literal["less", "more"] | None:
        """The side on which alone a constant shows: it has a bound there, and no value."""
        if self.shows or max(self.less or 0.0, self.more or 0.0) < THRESHOLD:
            return None
        return "more" if (self.more or 0.0) >= THRESHOLD else "less"


@dataclass(frozen=True)
class Interval:
    """Values that the measurements do not tell apart."""

    low: float
    high: float


def sensitivities(
    model: ForwardModel, values: Mapping[str, float], ranges: Mapping[str, Range]
) -> dict[str, Sensitivity]:
    """Of every constant, over the whole suite, at the given values."""
    base = model.log_times(values, model.benchmarks)
    found = {}
    for name, value in values.items():
        sides: dict[bool, float] = {}
        changed = np.zeros(len(base), bool)
        varied = ranges[name].varied(value, SHARE)
        for other, times in zip(
            varied, model.many([{**values, name: v} for v in varied], model.benchmarks), strict=True
        ):
            if np.isfinite(times).all():
                difference = np.abs(times - base)
                sides[other > value] = float(difference.max())
                changed |= difference > _RESOLUTION
        names = tuple(b.name for b, c in zip(model.benchmarks, changed, strict=True) if c)
        found[name] = Sensitivity(sides.get(False), sides.get(True), names)
    return found


def intervals(fitter: Fitter, shown: Mapping[str, Sensitivity], clock_hz: float) -> dict[str, Interval]:
    """Of every constant that shows: the wider of what holds with the others held, and of the linear estimate.

    A real constant in the middle of whose plateau the measurements fit as well is moved there.
    """
    names = [name for name, sensitivity in shown.items() if sensitivity.shows]
    spreads = _spreads(fitter, names, clock_hz)
    found = {}
    for name in names:
        benchmarks = tuple(b for b in fitter.usable(("",)) if b.name in set(shown[name].benchmarks))
        alone = _alone(fitter, name, benchmarks)
        _centre(fitter, name, alone, benchmarks)
        value, spread = fitter.values[name], math.exp(min(spreads.get(name, 0.0), _WIDEST))
        low, high = min(alone.low, value / spread), max(alone.high, value * spread)
        if fitter.ranges[name].kind is not Kind.REAL:
            low, high = fitter.ranges[name].nearest(low), fitter.ranges[name].nearest(high)
        found[name] = Interval(low, high)
    return found


def _spreads(fitter: Fitter, names: Sequence[str], clock_hz: float) -> dict[str, float]:
    """How far log constants may be off by the linear estimate: by what the fit leaves, and by the clock's cycle.

    Rounding to whole cycles, once for each wait of a QPU in a round, moves a real constant by no more than the sum of
    what it does to each time. That is not averaged away, as the roundings of related times are not independent.
    Discrete constants have no such slack.
    """
    continuous = [n for n in names if fitter.has_logarithm(n)]
    benchmarks = fitter.usable(("",))
    if not continuous or len(benchmarks) <= len(continuous):
        return {}
    residual = fitter.residuals((fitter.values,), benchmarks)[0]
    cycles = clock_hz * np.exp(fitter.model.log_times(fitter.values, benchmarks))
    by_cycle = np.linalg.pinv(fitter.jacobian(continuous, benchmarks) * cycles[:, None])
    left = math.sqrt(float((residual**2).sum()) / (len(benchmarks) - len(continuous)))
    noise = _SIGMAS * left * np.sqrt(((by_cycle * cycles) ** 2).sum(axis=1))
    rounding = np.abs(by_cycle) @ np.array([b.qpus * b.waits for b in benchmarks], float)
    return {
        name: float(n + (r if fitter.ranges[name].kind is Kind.REAL else 0.0))
        for name, n, r in zip(continuous, noise, rounding, strict=True)
    }


def _alone(fitter: Fitter, name: str, benchmarks: Sequence[Benchmark]) -> Interval:
    """How far a constant can go, the others held, before the misfit says so."""
    allowed = _allowed(fitter.residuals((fitter.values,), benchmarks)[0])

    def fits(candidate: float) -> bool:
        residual = fitter.residuals(({**fitter.values, name: candidate},), benchmarks)[0]
        return bool((residual**2).sum() <= allowed)

    value, bounds = fitter.values[name], fitter.ranges[name]
    if bounds.kind is Kind.REAL and value == 0:
        return Interval(0.0, next((m for m in _halvings(bounds.scale) if fits(m)), 0.0))
    if bounds.kind is Kind.REAL:
        return Interval(value * math.exp(-_reach(fits, value, -1)), value * math.exp(_reach(fits, value, 1)))
    return Interval(_last(fits, bounds, value, upward=False), _last(fits, bounds, value, upward=True))


def _halvings(value: float) -> Iterator[float]:
    return (value / 2**halvings for halvings in range(_BISECTIONS))


def _reach(fits: Callable[[float], bool], value: float, side: int) -> float:
    """The largest change of the logarithm to one side that still fits, by doubling and bisection."""
    inside, outside = 0.0, _RESOLUTION
    while outside < _WIDEST and fits(value * math.exp(side * outside)):
        inside, outside = outside, 2 * outside
    for _ in range(_BISECTIONS):
        middle = (inside + outside) / 2
        inside, outside = (middle, outside) if fits(value * math.exp(side * middle)) else (inside, middle)
    return inside


def _last(fits: Callable[[float], bool], bounds: Range, value: float, upward: bool) -> float:
    """The last of the possible values on one side that still fits."""
    while True:
        beyond = [v for v in bounds.neighbours(value) if (v > value) is upward]
        if not beyond or not fits(beyond[0]):
            return value
        value = beyond[0]


def _centre(fitter: Fitter, name: str, alone: Interval, benchmarks: Sequence[Benchmark]) -> None:
    if fitter.ranges[name].kind is not Kind.REAL:
        return
    middle = {**fitter.values, name: math.sqrt(alone.low * alone.high)}
    now, moved = fitter.residuals((fitter.values, middle), benchmarks)
    if float((moved**2).sum()) <= float((now**2).sum()) + EXACT**2:
        fitter.values = middle


def _allowed(residual: Floats) -> float:
    squares = float((residual**2).sum())
    return squares + _SIGMAS**2 * (squares / max(len(residual) - 1, 1) + _RESOLUTION**2)
