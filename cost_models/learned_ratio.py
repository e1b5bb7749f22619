"""The logarithm of measured over expected time, learned, with intervals that hold for shapes not seen."""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from cost_models.boosting import Trees
from cost_models.features import Matrix
from cost_models.smooth import Smooth, SmoothState

Folds = NDArray[np.int64]
Held = NDArray[np.bool_]

FOLDS = 5
COVERAGE = 0.8
OUT_OF_FOLDS = (
    0.695  # of errors without a fifth of the shapes: so many that COVERAGE of those with all shapes are held
)
NARROWEST = 0.01  # log ratio: one per cent either way, however well the folds agree
WIDEST = math.log(1000.0)  # of a log ratio either way: it says that nothing is known
LEAST_SPREAD = 0.02  # log ratio: half of what quantiles lie apart at least, before it is stretched
SPREAD_MORE = 0.03  # log ratio, on top of that: quantiles are learned of few errors
TREES = 0.7  # the part of trees in what is predicted; the rest is the smooth function's
DISAGREEMENT = 0.25  # of what trees and smooth function lie apart, which spreads errors too


@dataclass(frozen=True, eq=False)
class Table:
    """Observations as numbers, one a row: features (rows, columns), log ratios and weights (rows,); the shape of the
    layer and the engine of each.
    """

    matrix: Matrix
    ratios: Matrix
    weights: Matrix
    shapes: tuple[str, ...]
    engines: tuple[str, ...]

    def where(self, chosen: NDArray[np.bool_]) -> Table:
        """The rows where `chosen` is true."""
        rows = np.flatnonzero(chosen)
        return Table(
            self.matrix[rows],
            self.ratios[rows],
            self.weights[rows],
            tuple(self.shapes[i] for i in rows),
            tuple(self.engines[i] for i in rows),
        )


@dataclass(frozen=True, eq=False)
class Ratios:
    """Predicted log ratios, (rows,) each: `low` and `high` are the ends of the interval of `centre`."""

    centre: Matrix
    low: Matrix
    high: Matrix


class RatioState(BaseModel):
    """A learned ratio as plain data."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    trees: str
    smooth: SmoothState
    low: str
    high: str
    stretches: dict[str, float]


@dataclass(frozen=True, eq=False)
class Centre:
    """A mean of trees, which find steps, and of a smooth function, which goes on between shapes and beyond them."""

    trees: Trees
    smooth: Smooth

    @staticmethod
    def fit(own: Table, prior: Table, names: tuple[str, ...]) -> Centre:
        """Of both tables alike."""
        rows = (
            np.concatenate([own.matrix, prior.matrix]),
            np.concatenate([own.ratios, prior.ratios]),
            np.concatenate([own.weights, prior.weights]),
            names,
        )
        return Centre(Trees.fit_mean(*rows), Smooth.fit(*rows))

    def predict(self, matrix: Matrix) -> Matrix:
        """(rows, 3): the log ratio, how new the row is, from 0 to 1, and how far its two parts lie apart."""
        smooth, newness = self.smooth.predict(matrix)
        trees = self.trees.predict(matrix)
        return np.stack([TREES * trees + (1 - TREES) * smooth, newness, np.abs(trees - smooth)], axis=1)


@dataclass(frozen=True, eq=False)
class LearnedRatio:
    """`low` and `high` are trees for quantiles of the errors that `centre` makes on shapes that it has not seen; they
    spread with how new a candidate is and how far the parts of the centre lie apart, and `stretches`, by engine, are
    what intervals had to be multiplied by to hold as many errors as they should.

    Conformalised quantile regression (Romano, Patterson and Candes, 2019), on errors out of folds of whole shapes.
    """

    centre: Centre
    low: Trees
    high: Trees
    stretches: dict[str, float]

    @staticmethod
    def fit(own: Table, prior: Table, names: tuple[str, ...]) -> tuple[LearnedRatio, Ratios]:
        """What is learned, and the own rows as predicted without their shapes; the prior has no part in intervals."""
        folds = _folds(own.shapes)

        def without(held: Held) -> Centre:
            hidden = {shape for shape, is_held in zip(own.shapes, held, strict=True) if is_held}
            rest = prior.where(np.array([shape not in hidden for shape in prior.shapes], dtype=bool))
            return Centre.fit(own.where(~held), rest, names)

        with _fitters() as pool:
            centre = pool.submit(Centre.fit, own, prior, names)
            held_out = _OutOfFolds(pool, own.matrix, folds, without).values
            errors = own.ratios - held_out[:, 0]
            low, high = [_Quantile.begin(pool, own, errors, folds, level, names) for level in _LEVELS]
            spread = _Spread.of(low.held_out.values, high.held_out.values, held_out)
            stretches = _stretches(own.engines, np.abs(errors - spread.middle) / spread.half)
            learned = LearnedRatio(centre.result(), low.trees.result(), high.trees.result(), stretches)
        return learned, learned._around(held_out[:, 0], spread, own.engines)

    def predict(self, matrix: Matrix, engines: Sequence[str]) -> Ratios:
        """The ratios of candidates by their features and engines."""
        centre = self.centre.predict(matrix)
        spread = _Spread.of(self.low.predict(matrix), self.high.predict(matrix), centre)
        return self._around(centre[:, 0], spread, engines)

    def _around(self, centre: Matrix, spread: _Spread, engines: Sequence[str]) -> Ratios:
        """None is narrower than NARROWEST either way, and none wider than WIDEST."""
        widest = max(self.stretches.values())
        half = spread.half * np.array([self.stretches.get(engine, widest) for engine in engines])
        return Ratios(
            centre,
            centre + np.clip(spread.middle - half, -WIDEST, -NARROWEST),
            centre + np.clip(spread.middle + half, NARROWEST, WIDEST),
        )

    @property
    def state(self) -> RatioState:
        """What `of_state` restores."""
        return RatioState(
            trees=self.centre.trees.text,
            smooth=self.centre.smooth.state,
            low=self.low.text,
            high=self.high.text,
            stretches=self.stretches,
        )

    @staticmethod
    def of_state(state: RatioState) -> LearnedRatio:
        """Raises CostModelError where LightGBM cannot read a text, or parts do not belong together."""
        trees, low, high = (Trees.from_text(text) for text in (state.trees, state.low, state.high))
        return LearnedRatio(Centre(trees, Smooth.of_state(state.smooth)), low, high, state.stretches)


class _Spread(NamedTuple):
    """The middle of expected errors, and half of what they spread by, (rows,) each."""

    middle: Matrix
    half: Matrix

    @staticmethod
    def of(low: Matrix, high: Matrix, centre: Matrix) -> _Spread:
        """`centre`: as it is predicted by `Centre`."""
        _, newness, apart = centre.T
        half = np.maximum((high - low) / 2, LEAST_SPREAD) + SPREAD_MORE + DISAGREEMENT * apart
        return _Spread((low + high) / 2, half * newness)


_LEVELS = ((1 - COVERAGE) / 2, (1 + COVERAGE) / 2)


def _fitters() -> ThreadPoolExecutor:
    """LightGBM lets go of the interpreter while it fits: trees of different data are fitted on all cores."""
    return ThreadPoolExecutor(os.cpu_count() or 1, "fit")


class _OutOfFolds:
    """What trees say of each row that were fitted without its fold; they are under way when this is made."""

    def __init__(
        self,
        pool: ThreadPoolExecutor,
        matrix: Matrix,
        folds: Folds,
        without: Callable[[Held], Centre | Trees],
    ) -> None:
        self._rows = len(folds)
        self._parts = [
            (held, pool.submit(lambda held: without(held).predict(matrix[held]), held))
            for held in (folds == fold for fold in np.unique(folds))
        ]

    @property
    def values(self) -> Matrix:
        """What is said of each row, (rows, ...)."""
        parts = [part.result() for _, part in self._parts]
        found = np.zeros((self._rows, *parts[0].shape[1:]))
        for (held, _), part in zip(self._parts, parts, strict=True):
            found[held] = part
        return found


@dataclass(frozen=True, eq=False)
class _Quantile:
    """Trees for a quantile of the errors, and what such trees say of each row without having seen its shape."""

    trees: Future[Trees]
    held_out: _OutOfFolds

    @staticmethod
    def begin(
        pool: ThreadPoolExecutor,
        own: Table,
        errors: Matrix,
        folds: Folds,
        level: float,
        names: tuple[str, ...],
    ) -> _Quantile:
        def without(held: Held) -> Trees:
            return Trees.fit_quantile(own.matrix[~held], errors[~held], level, names)

        held_out = _OutOfFolds(pool, own.matrix, folds, without)
        return _Quantile(pool.submit(Trees.fit_quantile, own.matrix, errors, level, names), held_out)


def _folds(shapes: Sequence[str]) -> Folds:
    """The fold of each row: whole shapes, dealt out by size; single rows where there is one shape alone."""
    sizes = Counter(shapes)
    if len(sizes) == 1:
        return np.arange(len(shapes)) % FOLDS
    order = sorted(sizes, key=lambda shape: (-sizes[shape], shape))
    fold_of = {shape: index % FOLDS for index, shape in enumerate(order)}
    return np.array([fold_of[shape] for shape in shapes])


def _stretches(engines: Sequence[str], misses: Matrix) -> dict[str, float]:
    """Of each engine the conformal quantile: of n misses that of rank ceil((n + 1) * OUT_OF_FOLDS), or the largest."""
    stretches = {}
    for engine in sorted(set(engines)):
        own = np.sort(misses[np.array([one == engine for one in engines])])
        rank = min(len(own), math.ceil((len(own) + 1) * OUT_OF_FOLDS))
        stretches[engine] = float(own[rank - 1])
    return stretches
