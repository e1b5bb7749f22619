"""The learned cost model: the roofline times what gradient-boosted trees learned of its error."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from statistics import median

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from codegen.schedule import Candidate, Work
from cost_models.boosting import Trees
from cost_models.errors import CostModelError
from cost_models.features import FeatureSet, Matrix
from cost_models.model import Observation, Prediction
from cost_models.roofline import RooflineModel
from microbench.profile import DeviceProfile

FOLDS = 5
ENOUGH_OBSERVATIONS = 10  # of one algorithm, for trees to say more about it than its median does
COVERAGE = 0.9
NARROWEST = 0.02  # log ratio: two per cent either way, however well the folds agree
FEW_FACTOR = 2.0  # interval either way around the median of a few observations, on top of their spread
NONE_FACTOR = 6.0  # the same where an algorithm has no observation at all


@dataclass(frozen=True)
class _Correction:
    """What multiplies a roofline: exp(log_ratio), and how far off it may be either way, as a log."""

    log_ratio: float
    width: float


class _State(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    model: str
    version: int
    profile_hash: str
    axes: tuple[str, ...]
    algorithms: tuple[str, ...]
    widths: dict[str, float]  # algorithms that the trees know
    medians: dict[str, tuple[float, float]]  # algorithms with few observations: log ratio, width
    fallback: dict[str, float]  # engine -> median log ratio, for algorithms without any
    trees: str | None


class ResidualModel:
    """`roofline * exp(trees(features))`, the trees fitted to the logarithm of measured over roofline.

    An algorithm with fewer than ENOUGH_OBSERVATIONS is predicted by the roofline times its median
    ratio, one with none by its engine's median ratio (or the bare roofline), both with an interval
    that says so. The interval of the others is the 0.9 quantile of the absolute out-of-fold errors, per
    algorithm. Observations are sorted by their figures first, so their order does not matter, nor do names.
    """

    name = "residual"

    def __init__(self, profile: DeviceProfile) -> None:
        self._profile = profile
        self._roofline = RooflineModel(profile)
        self._state = self._unfitted()
        self._trees: Trees | None = None

    def fit(self, observations: Sequence[Observation]) -> None:
        """Learns from these observations alone; none at all give the bare roofline back.

        Raises CostModelError for a measured time that is not a positive number.
        """
        ordered = _ordered(observations)
        ratios = np.array([self._log_ratio(o) for o in ordered], dtype=np.float64)
        groups = _groups(ordered)
        known = {name for name, rows in groups.items() if len(rows) >= ENOUGH_OBSERVATIONS}
        features = FeatureSet.of([o.candidate for o in ordered])
        trees, widths = None, {}
        if known:
            matrix = self._matrix(features, [(o.candidate, o.work) for o in ordered])
            trees = Trees.fit(matrix, ratios, features.names)
            errors = np.abs(_out_of_fold(matrix, ratios, features.names) - ratios)
            widths = {name: _width(errors[groups[name]]) for name in sorted(known)}
        medians = {n: _median_and_width(ratios[rows]) for n, rows in sorted(groups.items()) if n not in known}
        self._trees = trees
        self._state = self._unfitted().model_copy(
            update={
                "axes": features.axes,
                "algorithms": features.algorithms,
                "widths": widths,
                "medians": medians,
                "fallback": _by_engine(ordered, ratios),
                "trees": trees.text if trees else None,
            }
        )

    def predict(self, candidates: Sequence[tuple[Candidate, Work]]) -> tuple[Prediction, ...]:
        """One prediction per candidate, in order; raises CostModelError for an engine the board lacks."""
        if not candidates:
            return ()
        bounds = [self._roofline.terms(candidate, work).bound_s for candidate, work in candidates]
        learned = self._learned(candidates)
        corrections = [
            self._correction(candidate, float(ratio))
            for (candidate, _), ratio in zip(candidates, learned, strict=True)
        ]
        return tuple(_prediction(bound, c) for bound, c in zip(bounds, corrections, strict=True))

    def cross_predict(self, observations: Sequence[Observation]) -> tuple[Prediction, ...]:
        """Each observation predicted by models that have not seen its candidate, in the given order.

        What honest error figures are computed from; this model's own fitted state is left as it is.
        """
        by_work = sorted(observations, key=lambda o: astuple(o.work))
        hashes = dict.fromkeys(o.candidate.hash for o in by_work)
        fold_of = {digest: index % FOLDS for index, digest in enumerate(hashes)}
        result: dict[int, Prediction] = {}
        for fold in range(FOLDS):
            held = [i for i, o in enumerate(observations) if fold_of[o.candidate.hash] == fold]
            if not held:
                continue
            model = ResidualModel(self._profile)
            model.fit([o for o in observations if fold_of[o.candidate.hash] != fold])
            pairs = [(observations[i].candidate, observations[i].work) for i in held]
            result.update(zip(held, model.predict(pairs), strict=True))
        return tuple(result[index] for index in range(len(observations)))

    def to_text(self) -> str:
        """JSON that holds the trees in LightGBM's own text format."""
        return json.dumps(self._state.model_dump(mode="json"), sort_keys=True, indent=1) + "\n"

    def load_text(self, text: str) -> None:
        """Restores what `to_text` wrote for the same profile; raises CostModelError on anything else."""
        try:
            state = _State.model_validate_json(text)
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(str(part) for part in first["loc"]) or "text"
            raise CostModelError(f"not a residual model: {place}: {first['msg']}; fit it again") from error
        expected = self._unfitted()
        if (state.model, state.version) != (expected.model, expected.version):
            raise CostModelError(f"a {state.model} model of version {state.version}; fit it again")
        if state.profile_hash != self._profile.hash:
            raise CostModelError("the residual model belongs to another device profile; fit it again")
        trees = Trees.from_text(state.trees) if state.trees is not None else None
        if (trees is None) == bool(state.widths):
            raise CostModelError(
                "trees and intervals of the residual model contradict each other; fit it again"
            )
        self._state, self._trees = state, trees

    def _unfitted(self) -> _State:
        return _State(
            model=self.name, version=1, profile_hash=self._profile.hash, axes=(), algorithms=(), widths={},
            medians={}, fallback={}, trees=None,
        )  # fmt: skip

    def _log_ratio(self, observation: Observation) -> float:
        if not (math.isfinite(observation.time_s) and observation.time_s > 0):
            raise CostModelError(
                f"candidate {observation.candidate.hash[:12]} was measured at {observation.time_s} s: "
                "a time to learn from is positive"
            )
        bound_s = self._roofline.terms(observation.candidate, observation.work).bound_s
        return math.log(observation.time_s / bound_s)

    def _matrix(self, features: FeatureSet, pairs: Sequence[tuple[Candidate, Work]]) -> Matrix:
        return features.matrix([(c, w, self._roofline.terms(c, w)) for c, w in pairs])

    def _learned(self, candidates: Sequence[tuple[Candidate, Work]]) -> Matrix:
        if self._trees is None:
            return np.zeros(len(candidates))
        features = FeatureSet(self._state.axes, self._state.algorithms)
        return self._trees.predict(self._matrix(features, candidates))

    def _correction(self, candidate: Candidate, learned: float) -> _Correction:
        choice, state = candidate.choice, self._state
        if choice.algorithm in state.widths:
            return _Correction(learned, state.widths[choice.algorithm])
        if choice.algorithm in state.medians:
            return _Correction(*state.medians[choice.algorithm])
        return _Correction(state.fallback.get(choice.engine, 0.0), math.log(NONE_FACTOR))


def _ordered(observations: Sequence[Observation]) -> list[Observation]:
    return sorted(observations, key=lambda o: (astuple(o.work), o.time_s))


def _groups(observations: Sequence[Observation]) -> dict[str, list[int]]:
    groups: dict[str, list[int]] = {}
    for index, observation in enumerate(observations):
        groups.setdefault(observation.candidate.choice.algorithm, []).append(index)
    return groups


def _by_engine(observations: Sequence[Observation], ratios: Matrix) -> dict[str, float]:
    rows: dict[str, list[float]] = {}
    for observation, ratio in zip(observations, ratios, strict=True):
        rows.setdefault(observation.candidate.choice.engine, []).append(float(ratio))
    return {engine: median(values) for engine, values in sorted(rows.items())}


def _out_of_fold(matrix: Matrix, ratios: Matrix, names: tuple[str, ...]) -> Matrix:
    """Every row predicted by trees that have not seen it; rows sorted by work make the folds a fair mix."""
    folds = np.arange(len(ratios)) % FOLDS
    predicted = np.zeros(len(ratios))
    for fold in range(FOLDS):
        held = folds == fold
        predicted[held] = Trees.fit(matrix[~held], ratios[~held], names).predict(matrix[held])
    return predicted


def _width(errors: Matrix) -> float:
    """The conformal quantile: of n errors the one of rank ceil((n + 1) * coverage), or the largest."""
    ordered = np.sort(errors)
    rank = min(len(ordered), math.ceil((len(ordered) + 1) * COVERAGE))
    return max(NARROWEST, float(ordered[rank - 1]))


def _median_and_width(ratios: Matrix) -> tuple[float, float]:
    centre = float(np.median(ratios))
    return centre, float(np.max(np.abs(ratios - centre))) + math.log(FEW_FACTOR)


def _prediction(bound_s: float, correction: _Correction) -> Prediction:
    time_s = bound_s * math.exp(correction.log_ratio)
    factor = math.exp(correction.width)
    return Prediction(time_s, time_s / factor, time_s * factor)
