"""Support vector machines give what onnxruntime gives."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from onnx import TensorProto

from codegen.errors import ExploreError, ModelError, UnsupportedOperatorError
from codegen.onnx_import.reader import import_model
from tests.codegen.test_classical_models import check, model_of

ROWS, COLUMNS = 6, 4
COUNTS = (3, 2, 4, 1)


def machine(classes: int, seed: int, *, probabilities: bool = False, kernel: str = "RBF") -> dict[str, Any]:
    """A machine of a few vectors for each class."""
    random = np.random.default_rng(seed)

    def drawn(count: int) -> list[float]:
        return random.standard_normal(count).astype(np.float32).tolist()

    counts, pairs = COUNTS[:classes], classes * (classes - 1) // 2
    found: dict[str, Any] = {
        "classlabels_ints": [5, 2, 9, 7][:classes],
        "vectors_per_class": list(counts),
        "support_vectors": drawn(sum(counts) * COLUMNS),
        "coefficients": drawn((classes - 1) * sum(counts)),
        "rho": drawn(pairs),
        "kernel_type": kernel,
        "kernel_params": [0.3, 0.5, 2.0],
    }
    return found | ({"prob_a": [-1.2] * pairs, "prob_b": drawn(pairs)} if probabilities else {})


def rows(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((ROWS, COLUMNS)).astype(np.float32)


@pytest.mark.parametrize("probabilities", [False, True])
@pytest.mark.parametrize("classes", [2, 3, 4])
def test_classes_are_onnxruntimes(classes: int, *, probabilities: bool) -> None:
    for seed in range(4):
        given = machine(classes, seed, probabilities=probabilities)
        check("SVMClassifier", given, rows(seed), classes=True)


@pytest.mark.parametrize("kernel", ["LINEAR", "POLY", "SIGMOID"])
def test_kernels_are_onnxruntimes(kernel: str) -> None:
    check("SVMClassifier", machine(3, 1, kernel=kernel), rows(2), classes=True)


@pytest.mark.parametrize("transform", ["NONE", "LOGISTIC", "SOFTMAX"])
@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("positive", [False, True])
def test_planes_are_onnxruntimes(classes: int, transform: str, *, positive: bool) -> None:
    values = np.random.default_rng(classes).standard_normal(classes * COLUMNS)
    given = {
        "classlabels_ints": [5, 2, 9][:classes],
        "coefficients": (np.abs(values) if positive else values).tolist(),
        "rho": [0.2],
        "kernel_params": [0.0, 0.0, 0.0],
        "post_transform": transform,
    }
    check("SVMClassifier", given, rows(3), classes=True)


@pytest.mark.parametrize(
    ("changed", "error", "said"),
    [
        ({"coefficients": [1.0]}, ModelError, "do not fit"),
        ({"rho": [1.0]}, ModelError, "do not fit"),
        ({"prob_a": [1.0]}, ModelError, "1 and 3 numbers for 3 pairs"),
        ({"post_transform": "PROBIT"}, UnsupportedOperatorError, "PROBIT"),
    ],
)
def test_damaged_machines_are_refused(changed: dict[str, Any], error: type[ExploreError], said: str) -> None:
    given = machine(3, 0, probabilities=True) | changed
    outputs = {"y": TensorProto.INT64, "z": TensorProto.FLOAT}
    with pytest.raises(error, match=said):
        import_model(model_of("SVMClassifier", given, outputs, rows(0)))
