"""A smooth function of many columns: kernel ridge regression on those of its rows that differ most."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from pydantic import BaseModel, ConfigDict

from cost_models.errors import CostModelError
from cost_models.features import Matrix

COLUMNS = (
    "log.",
    "share.",
    "stair.",
    "flow.",
    "axis.",
    "is.",
)  # what the function is smooth in, by their names
LANDMARKS = 512  # rows that it is a sum of bumps about
REACH = 12.0
RIDGE = 0.03  # how much a row of weight 1 may be off, against what bumps weigh
FURTHEST = 4.0  # deviations beyond which a column tells nothing more
ALIKE = 1e-5  # of a bump: a row that others tell so well is no landmark
BLOCK = 64  # rows
DIGITS = 9  # of what sums of another order may differ behind
EVEN = 1e-9  # deviation of a column that is the same everywhere


class SmoothState(BaseModel):
    """A smooth function as plain data."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    columns: tuple[int, ...]
    centres: tuple[float, ...]
    scales: tuple[float, ...]
    landmarks: tuple[tuple[float, ...], ...]
    heights: tuple[float, ...]
    level: float


@dataclass(frozen=True, eq=False)
class Smooth:
    """`level` and a bump of each of `heights` about each of `landmarks`, (landmarks, columns), whose columns are taken
    from `centres` in `scales`. Bumps are Matern's of order 3/2 (Rasmussen and Williams, 2006, section 4.2).
    """

    columns: tuple[int, ...]
    centres: Matrix
    scales: Matrix
    landmarks: Matrix
    heights: Matrix
    level: float

    @staticmethod
    def fit(matrix: Matrix, target: Matrix, weights: Matrix, names: Sequence[str]) -> Smooth:
        """The weighted regression of the target on (rows, columns), which have these names."""
        own = [i for i, name in enumerate(names) if name.startswith(COLUMNS) and np.ptp(matrix[:, i]) > EVEN]
        columns = matrix[:, own]
        centres, scales = columns.mean(axis=0), columns.std(axis=0)
        rows = _scaled(columns, centres, scales)
        landmarks = rows[_most_different(rows)]
        level = float(np.average(target, weights=weights))
        bumps = _bumps(rows, landmarks)
        weighed = weights[:, None] * bumps
        normal = bumps.T @ weighed + RIDGE * _bumps(landmarks, landmarks) + ALIKE * np.eye(len(landmarks))
        heights = np.asarray(np.linalg.solve(normal, weighed.T @ (target - level)), dtype=np.float64)
        return Smooth(tuple(own), centres, scales, landmarks, heights, level)

    def predict(self, matrix: Matrix) -> tuple[Matrix, Matrix]:
        """One value per row, and how new the row is: 0 where it is a landmark, 1 where it is like none.

        What is said of a row is the same whatever else is asked: in blocks of one size, and to DIGITS.
        """
        rows = _scaled(matrix[:, list(self.columns)], self.centres, self.scales)
        values, newness = np.zeros(len(rows)), np.zeros(len(rows))
        block = np.zeros((BLOCK, rows.shape[1]))
        for first in range(0, len(rows), BLOCK):
            part = slice(first, min(first + BLOCK, len(rows)))
            own = slice(0, part.stop - first)
            block[own] = rows[part]
            bumps = _bumps(block, self.landmarks)
            told = np.sum(bumps @ self._precision * bumps, axis=1)
            values[part] = (self.level + bumps @ self.heights)[own]
            newness[part] = np.sqrt(np.clip(1.0 - np.round(told, DIGITS), ALIKE, 1.0))[own]
        return np.round(values, DIGITS), newness

    @cached_property
    def _precision(self) -> Matrix:
        """Of a Gaussian process at its landmarks, (landmarks, landmarks)."""
        among = _bumps(self.landmarks, self.landmarks)
        return np.asarray(np.linalg.inv(among + ALIKE * np.eye(len(among))), dtype=np.float64)

    @property
    def state(self) -> SmoothState:
        """What `of_state` restores."""
        return SmoothState(
            columns=self.columns,
            centres=tuple(self.centres.tolist()),
            scales=tuple(self.scales.tolist()),
            landmarks=tuple(map(tuple, self.landmarks.tolist())),
            heights=tuple(self.heights.tolist()),
            level=self.level,
        )

    @staticmethod
    def of_state(state: SmoothState) -> Smooth:
        """Raises CostModelError where its parts do not belong together."""
        sizes = {len(state.centres), len(state.scales), *map(len, state.landmarks)}
        if sizes != {len(state.columns)} or len(state.landmarks) != len(state.heights):
            raise CostModelError("landmarks and columns of the model contradict each other; fit it again")
        return Smooth(
            state.columns,
            np.array(state.centres),
            np.array(state.scales),
            np.array(state.landmarks).reshape(len(state.landmarks), len(state.columns)),
            np.array(state.heights),
            state.level,
        )


def _scaled(columns: Matrix, centres: Matrix, scales: Matrix) -> Matrix:
    return np.clip((columns - centres) / scales, -FURTHEST, FURTHEST)


def _bumps(rows: Matrix, landmarks: Matrix) -> Matrix:
    """(rows, landmarks): 1 where a row is a landmark, less with the distance."""
    squares = np.sum(rows**2, axis=1)[:, None] + np.sum(landmarks**2, axis=1) - 2 * rows @ landmarks.T
    distances = math.sqrt(3.0) / REACH * np.sqrt(np.maximum(squares, 0.0))
    bumps: Matrix = (1 + distances) * np.exp(-distances)
    return bumps


def _most_different(rows: Matrix) -> list[int]:
    """Up to LANDMARKS rows, each the one that bumps about those before tell least of: a pivoted Cholesky factor."""
    count = min(LANDMARKS, len(rows))
    untold, factor, chosen = np.ones(len(rows)), np.zeros((len(rows), count)), list[int]()
    for step in range(count):
        row = int(np.argmax(untold))
        if untold[row] < ALIKE:
            break
        told = factor[:, :step] @ factor[row, :step]
        factor[:, step] = (_bumps(rows, rows[row : row + 1])[:, 0] - told) / math.sqrt(untold[row])
        untold = np.maximum(untold - factor[:, step] ** 2, 0.0)
        untold[row] = 0.0
        chosen.append(row)
    return chosen
