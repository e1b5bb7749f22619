from __future__ import annotations

import numpy as np
import pytest

from codegen.algorithm import algorithms
from codegen.engine_registry import engine_named, layout_named
from codegen.expression import RESULT, Operand, clamp, less
from codegen.operators.elementwise import Map
from codegen.operators.indexing import Gather
from codegen.operators.literal import Literal
from codegen.operators.typed_map import TypedMap
from codegen.operators.unique import Unique
from codegen.reference import evaluate_layer
from codegen.schedule import Candidate, Choice
from codegen.tensor import TensorType
from explorer.measure.jobs import JobBuilder, layer_values
from explorer.measure.judge import Judge, relative_error
from microbench.boards.host import HostBoard
from microbench.profile import load_profile
from tests.codegen.built import choices
from tests.codegen.layers import inferred_layer, layer_spec

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


def test_what_is_no_number_may_be_none_where_the_reference_says_so() -> None:
    reference = np.array([1.0, np.nan, -np.inf])
    assert relative_error(np.array([1.0, np.nan, -np.inf], np.float32), reference) == 0.0
    for spoilt in ([1.0, 2.0, -np.inf], [1.0, np.nan, np.inf], [np.nan, np.nan, -np.inf]):
        assert relative_error(np.array(spoilt, np.float32), reference) == np.inf


def test_layers_of_any_element_types_are_measured_and_judged() -> None:
    specs = [
        inferred_layer(Unique(0, True), TensorType((13,), "float16")),
        inferred_layer(Literal(), weights=((3,),)),
        inferred_layer(
            TypedMap(less(Operand(0), Operand(1)), "int16", "bool"), *(TensorType((5,), "int16"),) * 2
        ),
        inferred_layer(Gather(0), TensorType((7, 3), "float64"), TensorType((2,), "int64")),
    ]
    profile, known, judge = load_profile("host"), algorithms(), Judge(seed=3)
    builder = JobBuilder(profile.target(), 3, known)
    board = HostBoard(profile)
    for spec, name in zip(specs, ("cpu_unique", "cpu_literal", "cpu_typed_map", "cpu_indexing"), strict=True):
        (choice,) = choices(known[name], spec, profile.target(), 1)
        job = builder.job(Candidate(spec, choice))
        output = board.measure(job).output
        assert output is not None and judge.judge(job.candidate, output).correct, name
        assert not judge.judge(job.candidate, -1 - output).correct, name
