"""The learned cost model: an analytic estimate times what was learned of its error."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from statistics import median
from typing import NamedTuple

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from codegen.graph import LayerSpec
from codegen.schedule import Candidate, Work
from cost_models.board_view import BoardView
from cost_models.errors import CostModelError
from cost_models.features import FeatureSet, Matrix
from cost_models.learned_ratio import LearnedRatio, Ratios, RatioState, Table
from cost_models.model import Observation, Prediction
from cost_models.shapes import shape_of
from microbench.profile import DeviceProfile

ENOUGH_OBSERVATIONS = 10  # of one algorithm, for trees to say more about it than its median does
FEW_FACTOR = 2.0  # interval either way around the median of a few observations, on top of their spread
NONE_FACTOR = 6.0  # the same where an algorithm has no observation at all
PRIOR_WEIGHT = 0.5  # of what other networks and boards taught; the model's own count 1
SLOW_POWER, LEAST_WEIGHT = 2.0, 0.05  # a candidate weighs less the more slowly it computes its layer


class _Correction(NamedTuple):
    """What multiplies an expected time, as logs: the factor, and the ends of its interval."""

    log_ratio: float
    low: float
    high: float

    @staticmethod
    def around(centre: float, width: float) -> _Correction:
        return _Correction(centre, centre - width, centre + width)

    def of(self, expected_s: float, longest_s: float) -> Prediction:
        """Of an expected time; the whole interval moves down where its centre is more than the longest time."""
        base_s = min(expected_s, longest_s / math.exp(self.log_ratio))
        return Prediction(
            base_s * math.exp(self.log_ratio),
            base_s * math.exp(self.low),
            base_s * math.exp(self.high),
        )


class _State(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    model: str
    version: int
    profile_hash: str
    axes: tuple[str, ...] = ()
    algorithms: tuple[str, ...] = ()
    known: tuple[str, ...] = ()  # algorithms that the trees know
    medians: dict[str, tuple[float, float]] = {}  # those with few observations: log ratio, width
    fallback: dict[str, float] = {}  # engine -> median log ratio, for algorithms without any
    slowest: float | None = None  # of observations: times what overlaps nothing
    learned: RatioState | None = None


class ResidualModel:
    """`expected * exp(learned(features))`, fitted to the logarithm of measured over expected time: that of `TileFlow`
    on QPUs, of the roofline elsewhere.

    Of the own and the prior observations alike, each of the latter by the constants of its own board. Candidates that
    compute their layer fast weigh more: which of the slow ones is slowest matters to nobody. An algorithm with fewer
    than ENOUGH_OBSERVATIONS is predicted by the expected time and its median ratio, one with none by its engine's
    median ratio (or nothing else), both with an interval that says so. The intervals of the others are those of
    `LearnedRatio`. Nothing is said to take longer than a program that overlaps nothing, times the most that any
    observation took of that: trees know little of what is unlike all that they saw. Observations are sorted by content
    first, so neither their order nor what things are called matters.
    """

    name = "residual"

    def __init__(self, profile: DeviceProfile) -> None:
        self._profile = profile
        self._boards: dict[str, BoardView] = {}
        self._own_board = self._board(None)
        self._state = self._unfitted()
        self._learned: LearnedRatio | None = None
        self._unseen: tuple[Prediction, ...] = ()

    def fit(self, own: Sequence[Observation], prior: Sequence[Observation] = ()) -> None:
        """Learns from these observations alone; none at all leave what is expected anyway.

        Raises CostModelError for a measured time that is not a positive number, or a prior one of a board that lacks
        its engine.
        """
        order = sorted(range(len(own)), key=lambda i: self._content(own[i]))
        rows, more = [own[i] for i in order], sorted(prior, key=self._content)
        every = [*rows, *more]
        features = FeatureSet.of([o.candidate for o in every])
        ratios = [self._log_ratio(o) for o in every]
        table = self._table(features, every, ratios, len(rows))
        numbers = _by_algorithm(every, ratios)
        known = tuple(name for name, found in numbers.items() if len(found) >= ENOUGH_OBSERVATIONS)
        # Intervals are of the own errors, as soon as there are enough to tell.
        judged = np.arange(len(every)) < (len(rows) if len(rows) >= ENOUGH_OBSERVATIONS else len(every))
        self._learned, held_out = None, None
        if known:
            self._learned, held_out = LearnedRatio.fit(
                table.where(judged), table.where(~judged), features.names
            )
        self._state = self._unfitted().model_copy(
            update={
                "axes": features.axes,
                "algorithms": features.algorithms,
                "known": known,
                "medians": {n: _median_and_width(found) for n, found in numbers.items() if n not in known},
                "fallback": _by_engine(every, ratios),
                "slowest": self._slowest(every),
            }
        )
        unseen = dict(zip(order, self._predicted_unseen(rows, every, ratios, held_out), strict=True))
        self._unseen = tuple(unseen[i] for i in range(len(own)))

    def predict(self, candidates: Sequence[tuple[Candidate, Work]]) -> tuple[Prediction, ...]:
        """One prediction per candidate, in order; raises CostModelError for an engine the board lacks."""
        if not candidates:
            return ()
        places = self._own_board.places(candidates)
        ratios = self._learned_ratios(candidates, places)
        return tuple(
            self._correction(candidate, ratios, row).of(
                self._own_board.expected_s(place), self._longest_s(self._own_board, place)
            )
            for row, ((candidate, _), place) in enumerate(zip(candidates, places, strict=True))
        )

    def unseen(self) -> tuple[Prediction, ...]:
        """See `CostModel.unseen`; an algorithm of this layer alone is predicted as one without observations."""
        return self._unseen

    def to_text(self) -> str:
        """JSON that holds trees in LightGBM's own text format."""
        state = self._state.model_copy(update={"learned": self._learned.state if self._learned else None})
        return json.dumps(state.model_dump(mode="json"), sort_keys=True, indent=1) + "\n"

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
        if (state.learned is None) == bool(state.known):
            raise CostModelError(
                "trees and algorithms of the residual model contradict each other; fit it again"
            )
        self._learned = LearnedRatio.of_state(state.learned) if state.learned else None
        self._state, self._unseen = state, ()

    def _unfitted(self) -> _State:
        return _State(model=self.name, version=8, profile_hash=self._profile.hash)

    def _board(self, profile: DeviceProfile | None) -> BoardView:
        own = profile or self._profile
        if own.hash not in self._boards:
            self._boards[own.hash] = BoardView(own)
        return self._boards[own.hash]

    def _log_ratio(self, observation: Observation) -> float:
        if not (math.isfinite(observation.time_s) and observation.time_s > 0):
            raise CostModelError(
                f"candidate {observation.candidate.hash[:12]} was measured at {observation.time_s} s: "
                "a time to learn from is positive"
            )
        return math.log(observation.time_s / self._expected_s(observation))

    def _content(self, observation: Observation) -> tuple[object, ...]:
        """What observations are sorted by: numbers first, so that other names teach the same."""
        board, place = self._seen_on(observation)
        return (
            board.numbers(place),
            observation.time_s,
            observation.candidate.hash,
            _profile_hash(observation),
        )

    def _expected_s(self, observation: Observation) -> float:
        board, place = self._seen_on(observation)
        return board.expected_s(place)

    def _slowest(self, observations: Sequence[Observation]) -> float | None:
        shares = [
            o.time_s / board.serial_s(place) for o in observations for board, place in [self._seen_on(o)]
        ]
        return max(shares, default=0.0) or None

    def _longest_s(self, board: BoardView, place: int) -> float:
        return math.inf if self._state.slowest is None else self._state.slowest * board.serial_s(place)

    def _seen_on(self, observation: Observation) -> tuple[BoardView, int]:
        board = self._board(observation.profile)
        (place,) = board.places([(observation.candidate, observation.work)])
        return board, place

    def _table(
        self, features: FeatureSet, every: Sequence[Observation], ratios: Sequence[float], own: int
    ) -> Table:
        return Table(
            self._matrix(features, every),
            np.array(ratios, dtype=np.float64),
            _weights(every, own),
            tuple(shape_of(o.candidate.spec) for o in every),
            tuple(o.candidate.choice.engine for o in every),
        )

    def _matrix(self, features: FeatureSet, every: Sequence[Observation]) -> Matrix:
        """Each row as the observation's own board sees it."""
        boards: dict[str, list[int]] = {}
        for row, o in enumerate(every):
            boards.setdefault(o.profile.hash if o.profile else "", []).append(row)
        matrix = np.zeros((len(every), len(features.names)))
        for rows in boards.values():
            board = self._board(every[rows[0]].profile)
            places = board.places([(every[i].candidate, every[i].work) for i in rows])
            matrix[rows] = board.matrix(features, places)
        return matrix

    def _learned_ratios(
        self, candidates: Sequence[tuple[Candidate, Work]], places: Sequence[int]
    ) -> Ratios | None:
        if self._learned is None:
            return None
        features = FeatureSet(self._state.axes, self._state.algorithms)
        matrix = self._own_board.matrix(features, places)
        return self._learned.predict(matrix, [c.choice.engine for c, _ in candidates])

    def _correction(self, candidate: Candidate, ratios: Ratios | None, row: int) -> _Correction:
        choice, state = candidate.choice, self._state
        if ratios is not None and choice.algorithm in state.known:
            return _Correction(float(ratios.centre[row]), float(ratios.low[row]), float(ratios.high[row]))
        if choice.algorithm in state.medians:
            return _Correction.around(*state.medians[choice.algorithm])
        return _Correction.around(state.fallback.get(choice.engine, 0.0), math.log(NONE_FACTOR))

    def _predicted_unseen(
        self,
        rows: Sequence[Observation],
        every: Sequence[Observation],
        ratios: Sequence[float],
        held_out: Ratios | None,
    ) -> Iterator[Prediction]:
        """Of algorithms that the trees know, out of their folds; of others from what other layers say of them."""
        for row, o in enumerate(rows):
            elsewhere = (
                [
                    ratio
                    for other, ratio in zip(every, ratios, strict=True)
                    if other.candidate.choice.algorithm == o.candidate.choice.algorithm
                    and shape_of(other.candidate.spec) != shape_of(o.candidate.spec)
                ]
                if o.candidate.choice.algorithm not in self._state.known
                else []
            )
            board, place = self._seen_on(o)
            yield self._unseen_correction(o, row, elsewhere, held_out).of(
                board.expected_s(place), self._longest_s(board, place)
            )

    def _unseen_correction(
        self, o: Observation, row: int, elsewhere: Sequence[float], held_out: Ratios | None
    ) -> _Correction:
        if held_out is not None and o.candidate.choice.algorithm in self._state.known:
            return self._correction(o.candidate, held_out, row)
        if elsewhere:
            return _Correction.around(*_median_and_width(elsewhere))
        return _Correction.around(0.0, math.log(NONE_FACTOR))


def _profile_hash(observation: Observation) -> str:
    return observation.profile.hash if observation.profile else ""


def _by_algorithm(observations: Sequence[Observation], ratios: Sequence[float]) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {}
    for observation, ratio in zip(observations, ratios, strict=True):
        found.setdefault(observation.candidate.choice.algorithm, []).append(ratio)
    return dict(sorted(found.items()))


def _by_engine(observations: Sequence[Observation], ratios: Sequence[float]) -> dict[str, float]:
    rows: dict[str, list[float]] = {}
    for observation, ratio in zip(observations, ratios, strict=True):
        rows.setdefault(observation.candidate.choice.engine, []).append(ratio)
    return {engine: median(found) for engine, found in sorted(rows.items())}


def _weights(observations: Sequence[Observation], own: int) -> Matrix:
    """The first `own` are the model's own."""
    best: dict[tuple[LayerSpec, str, str], float] = {}
    keys = [(o.candidate.spec, o.candidate.choice.engine, _profile_hash(o)) for o in observations]
    for key, o in zip(keys, observations, strict=True):
        best[key] = min(best.get(key, math.inf), o.time_s)
    return np.array(
        [
            max(LEAST_WEIGHT, (best[key] / o.time_s) ** SLOW_POWER) * (1.0 if i < own else PRIOR_WEIGHT)
            for i, (key, o) in enumerate(zip(keys, observations, strict=True))
        ],
        dtype=np.float64,
    )


def _median_and_width(ratios: Sequence[float]) -> tuple[float, float]:
    centre = median(ratios)
    return centre, max(abs(ratio - centre) for ratio in ratios) + math.log(FEW_FACTOR)
