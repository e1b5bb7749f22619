"""How good a cost model is: error, order, and what trusting it would have cost."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from cost_models.errors import CostModelError

Vector = NDArray[np.float64]


def mape(predicted: Sequence[float], measured: Sequence[float]) -> float:
    """Mean absolute percentage error as a fraction: 0.1 is ten per cent. Raises CostModelError when empty."""
    left, right = _pair(predicted, measured, at_least=1)
    return float(np.mean(np.abs(left - right) / right))


def spearman(predicted: Sequence[float], measured: Sequence[float]) -> float:
    """Rank correlation in [-1, 1], ties sharing their mean rank; 0 where one side is constant.

    Raises CostModelError for fewer than two pairs.
    """
    left, right = _pair(predicted, measured, at_least=2)
    if np.ptp(left) == 0 or np.ptp(right) == 0:
        return 0.0
    return float(np.corrcoef(_ranks(left), _ranks(right))[0, 1])


def top_regret(predicted: Sequence[float], measured: Sequence[float]) -> float:
    """How much slower the one predicted fastest is than the truly fastest, as a fraction (0 is none)."""
    left, right = _pair(predicted, measured, at_least=1)
    return float(right[int(np.argmin(left))] / right.min() - 1.0)


def _ranks(values: Vector) -> Vector:
    """From 0 on, ties sharing the mean of theirs."""
    _, group, sizes = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(sizes)
    return np.asarray((ends - (sizes + 1) / 2)[group], dtype=np.float64)


def _pair(predicted: Sequence[float], measured: Sequence[float], at_least: int) -> tuple[Vector, Vector]:
    if len(predicted) != len(measured) or len(measured) < at_least:
        raise CostModelError(
            f"{len(predicted)} predictions cannot be compared with {len(measured)} measurements: "
            f"give one prediction for each, {at_least} or more"
        )
    left, right = np.asarray(predicted, dtype=np.float64), np.asarray(measured, dtype=np.float64)
    if not (np.all(np.isfinite(left)) and np.all(right > 0)):
        raise CostModelError("a prediction is not finite or a measured time not positive: drop such samples")
    return left, right
