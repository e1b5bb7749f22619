"""Calibration: the suite on a board, the fit, and what it found, as a profile."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from microbench.calibration.constants import NOT_FITTED, Kind, Range, ranges
from microbench.calibration.fitter import Fitter
from microbench.calibration.forward import ForwardModel
from microbench.calibration.identify import SHARE, Interval, Sensitivity, intervals, sensitivities
from microbench.calibration.profile_file import fitted_on
from microbench.calibration.stages import fit
from microbench.calibration.variants import mechanisms
from microbench.profile import Constant, DeviceProfile
from microbench.suite.gpu import TOLD, BoardShape, Gpu
from microbench.suite.runner import ONCE, Effort, measure, queue_depth
from microbench.suite.suite import suite

DEPTH = "tmu_queue_depth"


@dataclass(frozen=True)
class FittedConstant:
    """What calibration says of one constant. `interval` None: it was not found; `note` says why.

    It keeps its starting value then, or takes one within the bound that the measurements give.
    """

    name: str
    unit: str
    start: float
    value: float
    interval: Interval | None
    note: str


@dataclass(frozen=True)
class Calibration:
    """A fitted profile, what is known of each of its constants, and the root mean square of the log ratios left."""

    profile: DeviceProfile
    fitted_constants: tuple[FittedConstant, ...]
    rms: float
    benchmarks: int
    simulated: int

    def variants(self, start: DeviceProfile) -> dict[tuple[str, ...], str | None]:
        """By constants that variants of `start` switch: which variant the board is; None where that does not show."""
        shown = {f.name: f.value for f in self.identified}
        return {
            tuple(m.full): m.choice(shown) if m.full.keys() <= shown.keys() else None
            for m in mechanisms(start)
        }

    @property
    def identified(self) -> tuple[FittedConstant, ...]:
        return tuple(f for f in self.fitted_constants if f.interval is not None)


def told_profile(start: DeviceProfile, shape: BoardShape) -> DeviceProfile:
    """The starting profile with what the board states about itself."""
    return start.with_v3d(**{name: float(getattr(shape, name)) for name in TOLD})


def calibrate(
    gpu: Gpu,
    shape: BoardShape,
    start: DeviceProfile,
    effort: Effort = ONCE,
    workers: int = 1,
    phase: Callable[[str], None] = lambda title: None,
) -> Calibration:
    """Measures a board and fits the constants of `start` to it.

    Raises HazardError when a launch of the suite fails, CandidateError without enough GPU memory, ProfileError where
    `start` lacks a constant.
    """
    phase("Measure")
    depth = queue_depth(gpu)
    return fitted(
        measure(gpu, suite(shape, depth), effort), depth, shape, start, "the virtual board", workers, phase
    )


def fitted(
    measured: Mapping[str, float],
    depth: int,
    shape: BoardShape,
    start: DeviceProfile,
    place: str,
    workers: int = 1,
    phase: Callable[[str], None] = lambda title: None,
) -> Calibration:
    """Fits the constants of `start` to what the suite measured of a board with queues of a depth.

    `measured`: seconds a round by benchmark; those that are not there are left out. `place`: how sources name the
    board. Raises ProfileError where `start` lacks a constant.
    """
    begun = told_profile(start, shape)
    bounds = ranges(begun.v3d)
    values = {n: c.value for n, c in begun.v3d.items() if bounds[n].kind not in NOT_FITTED}
    values[DEPTH] = float(depth)
    with ForwardModel(begun, depth, workers) as model:
        fitter = Fitter(model, measured, bounds, values)
        phase("Fit")
        fit(fitter)
        phase("Identify")
        shown = sensitivities(model, fitter.values, bounds)
        found = intervals(fitter, {n: s for n, s in shown.items() if n != DEPTH}, shape.clock_hz)
        found[DEPTH] = Interval(depth, depth)
        fitted_constants = tuple(
            _fitted_constant(bounds[name], constant.unit, fitter.values, found.get(name), shown)
            for name, constant in begun.v3d.items()
        )
        fitter.values = {f.name: f.value for f in fitted_constants if f.name in values}
        return Calibration(
            _profile(begun, fitted_constants, place),
            fitted_constants,
            fitter.rms(),
            len(model.benchmarks),
            model.runs,
        )


def _fitted_constant(
    bounds: Range,
    unit: str,
    values: dict[str, float],
    interval: Interval | None,
    shown: dict[str, Sensitivity],
) -> FittedConstant:
    name, start = bounds.name, bounds.start
    if bounds.kind in NOT_FITTED:
        return FittedConstant(name, unit, start, start, None, bounds.kind.value)
    if name == DEPTH:
        note = "the most requests in flight that a launch comes back from"
        return FittedConstant(name, unit, start, values[name], interval, note)
    sensitivity = shown[name]
    if interval is not None:
        strongest = max(sensitivity.less or 0.0, sensitivity.more or 0.0)
        note = f"shows in {len(sensitivity.benchmarks)} benchmarks, at most by {strongest:.0%}"
        return FittedConstant(name, unit, start, values[name], interval, note)
    if sensitivity.side is None:
        return FittedConstant(name, unit, start, start, None, "not identifiable: no launch time shows it")
    varied = bounds.varied(values[name], SHARE)
    bound = f"less than {varied[-1]:g}" if sensitivity.side == "more" else f"more than {varied[0]:g}"
    note = f"not identifiable: only that it is {bound}"
    return FittedConstant(name, unit, start, values[name], None, note)


def _profile(begun: DeviceProfile, fitted_constants: tuple[FittedConstant, ...], place: str) -> DeviceProfile:
    constants = {f.name: _constant(f, begun.v3d[f.name], place) for f in fitted_constants}
    return DeviceProfile.model_validate(
        {
            **begun.model_dump(),
            "v3d": {name: constant.model_dump() for name, constant in constants.items()},
        }
    )


def _constant(fitted: FittedConstant, before: Constant, place: str) -> Constant:
    """A constant that was not found keeps its source, unless a bound moved it."""
    source = before.source
    if fitted.interval is not None:
        interval = f"{fitted.interval.low:.6g} to {fitted.interval.high:.6g}"
        source = f"{fitted_on(place)}, interval {interval}; {fitted.note}"
    elif fitted.note == Kind.TOLD.value:
        source = fitted.note
    elif fitted.value != fitted.start:
        source = f"moved by explore calibrate; {fitted.note}"
    return Constant(value=fitted.value, unit=before.unit, source=source)
