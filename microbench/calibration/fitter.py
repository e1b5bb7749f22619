"""Least squares of log times over constants, real and discrete ones, with the simulator as forward model."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations, product

import numpy as np

from microbench.calibration.constants import Kind, Range
from microbench.calibration.forward import Floats, ForwardModel
from microbench.suite.benchmark import Benchmark

_LARGEST_STEP = math.log(2.0)
_BACKTRACK = (1.0, 0.5, 0.25, 0.0625)
FINE = 0.05
_DIFFERENCES = (0.25, FINE)
_SCAN_FACTOR = 3.0
_SCAN_POINTS = 9
_ZOOMS = 3
_NEARLY = 1.2
_NUDGES = tuple(side * share for share in (0.03, 0.01, 0.003, 0.001) for side in (-1, 1))
_WORTH_A_NUDGE = 0.99  # of a misfit that one must leave, to try more of them
_FINEST = 1e-3  # share of a time that a difference is told from, however long it is
EXACT = 1e-6  # root mean square of log ratios below which there is nothing left to fit


@dataclass
class Fitter:
    """Holds the values found so far; each method improves those of some constants by some benchmarks.

    `measured` are seconds by benchmark. Benchmarks without a positive time are left out.
    """

    model: ForwardModel
    measured: Mapping[str, float]
    ranges: Mapping[str, Range]
    values: dict[str, float]

    def usable(self, prefixes: Sequence[str]) -> tuple[Benchmark, ...]:
        """Benchmarks by their names' beginnings that were measured."""
        return tuple(b for b in self.model.named(prefixes) if self.measured.get(b.name, 0.0) > 0.0)

    def residuals(
        self, candidates: Sequence[Mapping[str, float]], benchmarks: Sequence[Benchmark]
    ) -> list[Floats]:
        """Logarithms of predicted to measured times under each candidate."""
        target = np.array([math.log(self.measured[b.name]) for b in benchmarks])
        return [times - target for times in self.model.many(candidates, benchmarks)]

    def rms(self, prefixes: Sequence[str] = ("",)) -> float:
        """Root mean square of the log ratios."""
        benchmarks = self.usable(prefixes)
        if not benchmarks:
            return 0.0
        return float(np.sqrt(np.mean(self.residuals((self.values,), benchmarks)[0] ** 2)))

    def worst(self) -> float:
        """The largest of the log ratios, in absolute terms."""
        return float(np.abs(self.residuals((self.values,), self.usable(("",)))[0]).max(initial=0.0))

    # Discrete values, and coarse positions of real ones ---------------------------------------------------------

    def scan(
        self, constants: Sequence[str], prefixes: Sequence[str], along: Sequence[str] = (), every: int = 0
    ) -> None:
        """Takes the best of a grid over all the constants at once, by the sum of absolute log ratios.

        That sum, and not the squares', as other constants may still bend some of the benchmarks.

        `along`: constants of which too little is known to judge by them as they are, because those that are scanned
        decide how often they count: they are fitted anew under each point of the grid.
        `every`: so many whole numbers apart lie the points, and not by equal factors.
        """
        scanned, beside = self._known(constants), self._known(along)
        grids = [self._grid(name, every) for name in scanned]
        points = [{**self.values, **dict(zip(scanned, point, strict=True))} for point in product(*grids)]
        if beside:
            points = self._refitted([self.values, *points], beside, prefixes)
        self._take_best([self.values, *points], self.usable(prefixes))

    def _known(self, constants: Sequence[str]) -> tuple[str, ...]:
        return tuple(name for name in constants if name in self.values)

    def _refitted(
        self, candidates: Sequence[dict[str, float]], along: Sequence[str], prefixes: Sequence[str]
    ) -> list[dict[str, float]]:
        """Candidates with their own values of the constants `along`, up to the first that leaves nothing to fit."""
        refitted = []
        for candidate in candidates:
            there = replace(self, values=dict(candidate))
            for name in along:
                there.locate(name, prefixes)
            there.refine(along, prefixes)
            refitted.append(there.values)
            if there.rms(prefixes) < EXACT:
                break
        return refitted

    def locate(self, name: str, prefixes: Sequence[str]) -> None:
        """A coarse position of one constant by a grid that is drawn closer round its best points, by the same sum.

        Nearly as good points count as best: where less of a constant changes nothing, the truth may lie between the
        last that changes nothing and the first that changes too much. Nothing of a constant that may be absent is
        taken where that fits as well as the best.
        """
        benchmarks = self.usable(prefixes)
        if name not in self.values or not benchmarks or self.ranges[name].kind is Kind.SWITCH:
            return
        start = self.values[name] or self.ranges[name].scale
        low, high = start / _SCAN_FACTOR, start * _SCAN_FACTOR
        for _ in range(_ZOOMS):
            near = np.geomspace(low, high, _SCAN_POINTS)
            points = sorted({start, *(self.ranges[name].nearest(float(v)) for v in near)})
            candidates = [{**self.values, name: point} for point in points]
            misfits = np.array([np.abs(r).sum() for r in self.residuals(candidates, benchmarks)])
            good = np.flatnonzero(misfits <= _NEARLY * misfits.min() + EXACT)
            low, high = points[max(good[0] - 1, 0)], points[min(good[-1] + 1, len(points) - 1)]
            best = [p for p, m in zip(points, misfits, strict=True) if m <= misfits.min() + EXACT]
            self.values[name] = start if start in best else best[len(best) // 2]
        self._leave_out(name, benchmarks)

    def _leave_out(self, name: str, benchmarks: Sequence[Benchmark]) -> None:
        if self.ranges[name].may_be_absent:
            self._take_best([{**self.values, name: 0.0}, self.values], benchmarks)

    def _grid(self, name: str, every: int = 0) -> tuple[float, ...]:
        bounds, value = self.ranges[name], self.values[name]
        if value == 0:  # a cache that the board does not have
            return (value,)
        if bounds.kind is Kind.POWER:
            octaves = range(round(math.log2(bounds.low)), round(math.log2(bounds.high)) + 1)
            return tuple(2.0**octave for octave in octaves)
        low, high = value / _SCAN_FACTOR, value * _SCAN_FACTOR
        points = np.arange(low, high + 1, every) if every else np.geomspace(low, high, _SCAN_POINTS)
        return tuple(sorted({bounds.nearest(float(v)) for v in points}))

    def polish(self, constants: Sequence[str], prefixes: Sequence[str], nudged: bool = False) -> None:
        """Moves discrete constants to neighbours, and leaves out or brings in others, as long as that helps.

        `nudged`: moves real ones by small shares as well, one or else two at once, as times go by steps of whole
        instructions, down which no derivative leads; as long as that helps by a share.
        """
        benchmarks, names = self.usable(prefixes), self._known(constants)
        moves = (self._alternatives, *((self._nudges, self._nudges_of_two) if nudged else ()))
        tried = 0
        while tried < len(moves):
            before, misfit = self.values, self._misfit(benchmarks)
            self._take_best([before, *(before | change for change in moves[tried](names))], benchmarks)
            enough = misfit if tried == 0 else _WORTH_A_NUDGE * misfit
            tried = 0 if before != self.values and self._misfit(benchmarks) < enough else tried + 1

    def _misfit(self, benchmarks: Sequence[Benchmark]) -> float:
        return float(np.abs(self.residuals((self.values,), benchmarks)[0]).sum())

    def _alternatives(self, names: Sequence[str]) -> list[dict[str, float]]:
        return [{n: value} for n in names for value in self.ranges[n].alternatives(self.values[n])]

    def _nudges(self, names: Sequence[str]) -> list[dict[str, float]]:
        return [
            {n: self.ranges[n].nearest(self.values[n] * (1 + share))}
            for n in names
            for share in _NUDGES
            if self.ranges[n].kind is Kind.REAL
        ]

    def _nudges_of_two(self, names: Sequence[str]) -> list[dict[str, float]]:
        pairs = combinations(names, 2)
        return [a | b for one, other in pairs for a in self._nudges((one,)) for b in self._nudges((other,))]

    def _take_best(self, candidates: Sequence[dict[str, float]], benchmarks: Sequence[Benchmark]) -> None:
        """The first of the best, so that what changes nothing stays."""
        misfits = [float(np.abs(r).sum()) for r in self.residuals(candidates, benchmarks)]
        best = min(misfits)
        chosen = next(c for c, m in zip(candidates, misfits, strict=True) if m <= best + EXACT)
        self.values = dict(chosen)

    # Gauss-Newton -----------------------------------------------------------------------------------------------

    def refine(self, constants: Sequence[str], prefixes: Sequence[str], rounds: int = 8) -> None:
        """Damped Gauss-Newton on logarithms; whole numbers are rounded after each step.

        With wide differences first: a time is constant while a constant stays within one clock cycle.
        """
        names = [n for n in constants if self.has_logarithm(n)]
        benchmarks = self.usable(prefixes)
        if not names or not benchmarks:
            return
        for share in _DIFFERENCES:
            for _ in range(rounds):
                if not self._improved(names, benchmarks, share):
                    break

    def _improved(self, names: Sequence[str], benchmarks: Sequence[Benchmark], share: float) -> bool:
        """Takes the best of a step and shorter ones, where one helps."""
        residual = self.residuals((self.values,), benchmarks)[0]
        if not EXACT <= np.sqrt(np.mean(residual**2)) < math.inf:
            return False
        weights = self._weights(benchmarks)
        step = _step(weights[:, None] * self.jacobian(names, benchmarks, share), weights * residual)
        moves = [self._moved(names, scale * step) for scale in _BACKTRACK]
        misfits = [float(((weights * r) ** 2).sum()) for r in self.residuals(moves, benchmarks)]
        best = int(np.argmin(misfits))
        if misfits[best] >= float(((weights * residual) ** 2).sum()) * (1 - 1e-6):
            return False
        self.values = moves[best]
        return True

    def _weights(self, benchmarks: Sequence[Benchmark]) -> Floats:
        """Less for times of few cycles, of which a wait that ends at a whole one is a large share; 1 for long ones."""
        clock_hz = self.model.profile.v3d_value("clock_hz")
        share = np.array([b.waits / (clock_hz * self.measured[b.name]) for b in benchmarks])
        return _FINEST / (_FINEST + share)

    def has_logarithm(self, name: str) -> bool:
        """Whether a constant is there and its times change with it gradually."""
        value, kind = self.values.get(name, 0.0), self.ranges[name].kind
        return value > 0 and kind not in (Kind.POWER, Kind.SWITCH) and bool(self._beside(name))

    def _beside(self, name: str, share: float = FINE) -> tuple[float, ...]:
        """Positive values a difference away."""
        return tuple(v for v in self.ranges[name].varied(self.values[name], share) if v > 0)

    def jacobian(self, names: Sequence[str], benchmarks: Sequence[Benchmark], share: float = FINE) -> Floats:
        """Changes of log times by log constants, one column a constant, from differences of a share or a step."""
        base = self.model.log_times(self.values, benchmarks)
        varied = [{**self.values, name: self._beside(name, share)[-1]} for name in names]
        columns = self.model.many(varied, benchmarks)
        jacobian = np.zeros((len(benchmarks), len(names)))
        for column, (name, times) in enumerate(zip(names, columns, strict=True)):
            span = math.log(varied[column][name] / self.values[name])
            jacobian[:, column] = np.where(np.isfinite(times), (times - base) / span, 0.0)
        return jacobian

    def _moved(self, names: Iterable[str], step: Floats) -> dict[str, float]:
        moved = dict(self.values)
        for name, change in zip(names, step, strict=True):
            moved[name] = self.ranges[name].nearest(self.values[name] * math.exp(float(change)))
        return moved


def _step(jacobian: Floats, residual: Floats) -> Floats:
    """The damped least squares step, no constant by more than a factor of two."""
    normal = jacobian.T @ jacobian
    damping = 1e-9 + 1e-6 * float(np.trace(normal)) / len(normal)
    step = np.linalg.solve(normal + damping * np.eye(len(normal)), -jacobian.T @ residual)
    return np.clip(step, -_LARGEST_STEP, _LARGEST_STEP)
