"""Trees for the logarithm of measured over expected time, with intervals that hold for shapes they have not seen."""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from cost_models.boosting import Trees
from cost_models.features import Matrix

Folds = NDArray[np.int64]
Held = NDArray[np.bool_]

FOLDS = 5
COVERAGE = 0.8
NARROWEST = 0.01  # log ratio: one per cent either way, however well the folds agree


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

    centre: str
    low: str
    high: str
    margins: dict[str, float]


@dataclass(frozen=True, eq=False)
class LearnedRatio:
    """`low` and `high` are trees for quantiles of the errors that `centre` makes on shapes that it has not seen;
    `margins`, by engine, are what the intervals had to grow by, or shrink, to hold as many errors as they should.

    Conformalised quantile regression (Romano, Patterson and Candes, 2019), on errors out of folds of whole shapes.
    """

    centre: Trees
    low: Trees
    high: Trees
    margins: dict[str, float]

    @staticmethod
    def fit(own: Table, prior: Table, names: tuple[str, ...]) -> tuple[LearnedRatio, Ratios]:
        """What is learned, and the own rows as predicted without their shapes; the prior has no part in intervals."""
        folds = _folds(own.shapes)

        def without(held: Held) -> Trees:
            hidden = {shape for shape, is_held in zip(own.shapes, held, strict=True) if is_held}
            rest = prior.where(np.array([shape not in hidden for shape in prior.shapes], dtype=bool))
            return _centre(own.where(~held), rest, names)

        with _fitters() as pool:
            centre = pool.submit(_centre, own, prior, names)
            held_out = _OutOfFolds(pool, own.matrix, folds, without).values
            errors = own.ratios - held_out
            low, high = [_Quantile.begin(pool, own, errors, folds, level, names) for level in _LEVELS]
            low_held, high_held = low.held_out.values, high.held_out.values
            margins = _margins(own.engines, np.maximum(low_held - errors, errors - high_held))
            learned = LearnedRatio(centre.result(), low.trees.result(), high.trees.result(), margins)
        return learned, learned.around(held_out, low_held, high_held, own.engines)

    def predict(self, matrix: Matrix, engines: Sequence[str]) -> Ratios:
        """The ratios of candidates by their features and engines."""
        centre, low, high = (trees.predict(matrix) for trees in (self.centre, self.low, self.high))
        return self.around(centre, low, high, engines)

    def around(self, centre: Matrix, low: Matrix, high: Matrix, engines: Sequence[str]) -> Ratios:
        """Intervals around predictions, from quantiles of their errors; none is narrower than NARROWEST either way."""
        widest = max(self.margins.values())
        margins = np.array([self.margins.get(engine, widest) for engine in engines])
        return Ratios(
            centre,
            centre + np.minimum(low - margins, -NARROWEST),
            centre + np.maximum(high + margins, NARROWEST),
        )

    @property
    def state(self) -> RatioState:
        """What `of_state` restores."""
        return RatioState(
            centre=self.centre.text, low=self.low.text, high=self.high.text, margins=self.margins
        )

    @staticmethod
    def of_state(state: RatioState) -> LearnedRatio:
        """Raises CostModelError where LightGBM cannot read a text."""
        centre, low, high = (Trees.from_text(text) for text in (state.centre, state.low, state.high))
        return LearnedRatio(centre, low, high, state.margins)


_LEVELS = ((1 - COVERAGE) / 2, (1 + COVERAGE) / 2)


def _fitters() -> ThreadPoolExecutor:
    """LightGBM lets go of the interpreter while it fits: trees of different data are fitted on all cores."""
    return ThreadPoolExecutor(os.cpu_count() or 1, "fit")


class _OutOfFolds:
    """What trees say of each row that were fitted without its fold; they are under way when this is made."""

    def __init__(
        self, pool: ThreadPoolExecutor, matrix: Matrix, folds: Folds, without: Callable[[Held], Trees]
    ) -> None:
        self._rows = len(folds)
        self._parts = [
            (held, pool.submit(lambda held: without(held).predict(matrix[held]), held))
            for held in (folds == fold for fold in np.unique(folds))
        ]

    @property
    def values(self) -> Matrix:
        """One of each row, (rows,)."""
        found = np.zeros(self._rows)
        for held, part in self._parts:
            found[held] = part.result()
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


def _centre(own: Table, prior: Table, names: tuple[str, ...]) -> Trees:
    return Trees.fit_mean(
        np.concatenate([own.matrix, prior.matrix]),
        np.concatenate([own.ratios, prior.ratios]),
        np.concatenate([own.weights, prior.weights]),
        names,
    )


def _folds(shapes: Sequence[str]) -> Folds:
    """The fold of each row: whole shapes, dealt out by size; single rows where there is one shape alone."""
    sizes = Counter(shapes)
    if len(sizes) == 1:
        return np.arange(len(shapes)) % FOLDS
    order = sorted(sizes, key=lambda shape: (-sizes[shape], shape))
    fold_of = {shape: index % FOLDS for index, shape in enumerate(order)}
    return np.array([fold_of[shape] for shape in shapes])


def _margins(engines: Sequence[str], misses: Matrix) -> dict[str, float]:
    """Of each engine the conformal quantile: of n misses that of rank ceil((n + 1) * coverage), or the largest."""
    margins = {}
    for engine in sorted(set(engines)):
        own = np.sort(misses[np.array([one == engine for one in engines])])
        rank = min(len(own), math.ceil((len(own) + 1) * COVERAGE))
        margins[engine] = float(own[rank - 1])
    return margins
