"""Gradient-boosted trees by LightGBM, single-threaded and deterministic, kept as text."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import cache, cached_property
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from cost_models.errors import CostModelError
from cost_models.features import Matrix

if TYPE_CHECKING:
    import lightgbm

_COMMON: dict[str, Any] = {
    "min_data_in_bin": 1,
    "feature_fraction": 0.5,
    "num_threads": 1,
    "seed": 0,
    "deterministic": True,
    "force_col_wise": True,
    "verbosity": -1,
}
MEAN: dict[str, Any] = {
    **_COMMON,
    "objective": "huber",  # as least squares up to `alpha`, the rest counts less: few times are far off
    "alpha": 0.05,
    "num_boost_round": 200,
    "learning_rate": 0.1,
    "num_leaves": 15,
    "feature_fraction": 0.7,
    "min_data_in_leaf": 3,
    "lambda_l2": 0.5,
}
QUANTILE: dict[str, Any] = {
    **_COMMON,
    "objective": "quantile",
    "num_boost_round": 40,
    "learning_rate": 0.15,
    "num_leaves": 7,
    "min_data_in_leaf": 8,
}


@cache
def _lightgbm() -> ModuleType:
    """Loaded when something is fitted or restored; raises CostModelError where it cannot be."""
    try:
        import lightgbm
    except OSError as error:  # the wheel links to the system's OpenMP runtime
        raise CostModelError(
            f"LightGBM cannot be loaded: {error}; install libgomp1 (`apt install libgomp1`)"
        ) from error
    log = logging.getLogger(__name__)
    lightgbm.register_logger(log)  # its own default writes to the standard output
    log.setLevel(logging.ERROR)  # its warnings are of trees that are as they should be
    return lightgbm


@dataclass(frozen=True)
class Trees:
    """A fitted ensemble."""

    booster: lightgbm.Booster

    @staticmethod
    def fit_mean(matrix: Matrix, target: Matrix, weights: Matrix, names: tuple[str, ...]) -> Trees:
        """The weighted centre of the target on (rows, columns); equal data give equal trees."""
        return _fit(MEAN, matrix, target, weights, names)

    @staticmethod
    def fit_quantile(matrix: Matrix, target: Matrix, level: float, names: tuple[str, ...]) -> Trees:
        """The quantile of that level, between 0 and 1, of the target at each place."""
        return _fit({**QUANTILE, "alpha": level}, matrix, target, None, names)

    @staticmethod
    def from_text(text: str) -> Trees:
        """Raises CostModelError where LightGBM cannot read the text."""
        try:
            return Trees(_lightgbm().Booster(model_str=text))
        except _lightgbm().basic.LightGBMError as error:
            raise CostModelError(f"LightGBM cannot read the model text: {error}; fit it again") from error

    @cached_property
    def text(self) -> str:
        """What it is kept as."""
        return str(self.booster.model_to_string())

    def predict(self, matrix: Matrix) -> Matrix:
        """One value per row."""
        return np.asarray(self.booster.predict(matrix, num_threads=1), dtype=np.float64)


def _fit(
    parameters: dict[str, Any],
    matrix: Matrix,
    target: Matrix,
    weights: Matrix | None,
    names: tuple[str, ...],
) -> Trees:
    columns = [name.replace(".", "_") for name in names]  # LightGBM refuses JSON's special characters
    data = _lightgbm().Dataset(
        matrix, label=target, weight=weights, feature_name=columns, params={"verbosity": -1}
    )
    return Trees(_lightgbm().train(parameters, data, keep_training_booster=True))
