from __future__ import annotations

import numpy as np
import pytest

from codegen.engine_registry import engine_named, layout_named
from codegen.expression import RESULT, clamp
from codegen.operators.elementwise import Map
from codegen.reference import evaluate_layer
from codegen.schedule import Candidate, Choice
from codegen.tensor import TensorType
from explorer.measure.jobs import layer_values
from explorer.measure.judge import Judge, relative_error
from tests.codegen.layers import layer_spec

TENSOR = TensorType((1, 3, 5, 5))
SPEC = layer_spec(Map(clamp(RESULT, -1.0, None)), (TENSOR,), TENSOR)


def candidate(engine: str, layout: str = "pixel16") -> Candidate:
    return Candidate(SPEC, Choice(engine, "any", (), (), (layout,), (layout,)))


def image(layout: str, error: float) -> np.ndarray:
    values = layer_values(SPEC, seed=3)
    (reference,) = evaluate_layer(SPEC, values.inputs, values.weights)
    spoilt = reference.copy()
    spoilt[0, 1, 2, 3] += error * np.abs(reference).max()
    return layout_named(layout).pack(spoilt.astype(np.float32))


@pytest.mark.parametrize("engine", ["cpu", "videocore4"])
@pytest.mark.parametrize("layout", ["nchw", "pixel16"])
def test_tolerance_is_relative_to_the_largest_output(engine: str, layout: str) -> None:
    judge = Judge(seed=3)
    allowed = engine_named(engine).tolerance
    assert judge.judge(candidate(engine, layout), image(layout, 0.5 * allowed)).correct
    verdict = judge.judge(candidate(engine, layout), image(layout, 2 * allowed))
    assert not verdict.correct
    assert verdict.error == pytest.approx(2 * allowed, rel=0.05)


def test_algorithms_may_be_held_to_a_part_of_the_root_mean_square() -> None:
    values = layer_values(SPEC, seed=3)
    (reference,) = evaluate_layer(SPEC, values.inputs, values.weights)
    rms_of_largest = np.sqrt(np.mean(reference**2)) / np.abs(reference).max()
    winograd = Candidate(SPEC, Choice("cpu", "cpu_blocked_winograd", (), (), ("nchw",), ("nchw",)))
    judge = Judge(seed=3)
    assert judge.judge(winograd, image("nchw", 0.8e-4 * rms_of_largest)).correct
    spoilt = image("nchw", 1.2e-4 * rms_of_largest)
    assert judge.judge(candidate("cpu", "nchw"), spoilt).correct
    verdict = judge.judge(winograd, spoilt)
    assert not verdict.correct
    assert "root mean square" in verdict.message


def test_an_output_of_the_wrong_size_is_wrong() -> None:
    assert not Judge(seed=3).judge(candidate("cpu"), np.zeros(7, np.float32)).correct


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_no_number_is_infinitely_wrong(bad: float) -> None:
    assert relative_error(np.array([1.0, bad]), np.array([1.0, 1.0])) == float("inf")


def test_a_reference_of_zeros_is_compared_absolutely() -> None:
    assert relative_error(np.array([1e-5]), np.zeros(1)) == pytest.approx(1e-5)


def test_values_depend_on_layer_and_seed_alone() -> None:
    first, again, other = layer_values(SPEC, 1), layer_values(SPEC, 1), layer_values(SPEC, 2)
    assert np.array_equal(first.inputs[0], again.inputs[0])
    assert not np.array_equal(first.inputs[0], other.inputs[0])
