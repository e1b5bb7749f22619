"""Gradient-boosted trees by LightGBM, single-threaded and deterministic, kept as text."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

import numpy as np

from cost_models.errors import CostModelError
from cost_models.features import Matrix

try:
    import lightgbm
except OSError as error:  # the wheel links to the system's OpenMP runtime
    raise CostModelError(
        f"LightGBM cannot be loaded: {error}; install libgomp1 (`apt install libgomp1`)"
    ) from error

lightgbm.register_logger(logging.getLogger(__name__))  # its own default writes to the standard output
logging.getLogger(__name__).setLevel(logging.ERROR)  # its warnings are of trees that are as they should be

ROUNDS = 120
PARAMETERS: dict[str, Any] = {
    "objective": "regression",
    "num_leaves": 15,
    "min_data_in_leaf": 3,
    "min_data_in_bin": 1,
    "learning_rate": 0.1,
    "lambda_l2": 0.5,
    "num_threads": 1,
    "seed": 0,
    "deterministic": True,
    "force_row_wise": True,
    "verbosity": -1,
}


@dataclass(frozen=True)
class Trees:
    """A fitted ensemble: what it predicts with and the text it is kept as."""

    booster: lightgbm.Booster
    text: str

    @staticmethod
    def fit(matrix: Matrix, target: Matrix, names: tuple[str, ...]) -> Trees:
        """Least squares on (rows, columns); equal data give equal text."""
        columns = [name.replace(".", "_") for name in names]  # LightGBM refuses JSON's special characters
        data = lightgbm.Dataset(matrix, label=target, feature_name=columns, params={"verbosity": -1})
        booster = lightgbm.train(PARAMETERS, data, num_boost_round=ROUNDS)
        return Trees.from_text(booster.model_to_string())

    @staticmethod
    def from_text(text: str) -> Trees:
        """Raises CostModelError where LightGBM cannot read the text."""
        try:
            return Trees(lightgbm.Booster(model_str=text), text)
        except lightgbm.basic.LightGBMError as error:
            raise CostModelError(f"LightGBM cannot read the model text: {error}; fit it again") from error

    def predict(self, matrix: Matrix) -> Matrix:
        """One value per row."""
        return np.asarray(self.booster.predict(matrix, num_threads=1), dtype=np.float64)
