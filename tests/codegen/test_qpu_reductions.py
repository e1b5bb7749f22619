"""Reductions and softmax on the QPUs: parts of a whole, rows of any length."""

from __future__ import annotations

import numpy as np
import pytest

from codegen.algorithm import algorithm_named
from codegen.engine_registry import layout_named
from codegen.engines.videocore4.algorithm import QpuAlgorithm
from codegen.engines.videocore4.kernels.statistics import Form, Statistic, statistics_kernel
from codegen.engines.videocore4.layout import LINE_BYTES
from codegen.engines.videocore4.link import link_single
from codegen.errors import ScheduleError
from codegen.graph import LayerSpec
from codegen.operators.reduction import Reduce
from codegen.operators.softmax import Softmax
from codegen.reference import evaluate_layer
from codegen.schedule import Choice
from tests.codegen.gpu_run import TARGET, execute, random_tensors, relative_error
from tests.codegen.layers import inferred_layer


def choice_of(spec: LayerSpec, **point: str | int) -> Choice:
    name = "qpu_reduce" if isinstance(spec.op, Reduce) else "qpu_softmax"
    algorithm = algorithm_named(name)
    for candidate in algorithm.space(spec, TARGET).points():
        try:
            choice = algorithm.choice(spec, TARGET, candidate)
        except ScheduleError:
            continue
        if all(choice.tiles[axis] == value for axis, value in point.items()):
            return choice
    raise AssertionError(f"no choice at {point}")


@pytest.mark.parametrize("length", [2, 15, 16, 17, 64, 127, 128, 129])
def test_rows_of_any_length(length: int) -> None:
    for spec in (
        inferred_layer(Softmax(1), (3, length)),
        inferred_layer(Reduce("sum_square", (1,), False), (3, length)),
    ):
        for rows in (1, 4, 8):
            if rows == 1 or rows * 16 < 2 * length:
                assert relative_error(spec, choice_of(spec, rows=rows, lanes="elements")) <= 1e-4


def test_softmax_of_large_numbers() -> None:
    spec = inferred_layer(Softmax(1), (2, 50))
    choice = choice_of(spec)
    algorithm = algorithm_named(choice.algorithm)
    assert isinstance(algorithm, QpuAlgorithm)
    value = np.linspace(-3e4, 3e4, 100, dtype=np.float32).reshape(2, 50)[:, ::-1].copy()
    program = link_single(algorithm.lower(spec, TARGET, choice, ()), [400], [400], TARGET.qpus)
    (found,), _ = execute(program, [value.reshape(-1)])
    (expected,) = evaluate_layer(spec, [value], ())
    assert np.allclose(found.reshape(2, 50), expected, atol=1e-5)


def test_a_part_of_a_whole_has_the_wholes_distances() -> None:
    spec = inferred_layer(Softmax(1), (1, 9, 5, 7))
    choice = choice_of(spec, input_layout="pixel16", rows=4)
    algorithm = algorithm_named(choice.algorithm)
    assert isinstance(algorithm, QpuAlgorithm)
    inputs, _ = random_tensors(spec, 1)
    layout, lines = layout_named("pixel16"), 23
    program = link_single(
        algorithm.lower(spec, TARGET, choice, (), output_lines=lines),
        [layout.size_bytes(spec.inputs[0])],
        [3 * lines * LINE_BYTES],
        TARGET.qpus,
    )
    (found,), _ = execute(program, [layout.pack(inputs[0])])
    planes = found.reshape(3, lines, 16)[:, :9].swapaxes(0, 1).reshape(9, 48)[:, :35]
    (expected,) = evaluate_layer(spec, inputs, ())
    assert np.allclose(planes.reshape(1, 9, 5, 7), expected, atol=1e-4)


def test_row_major_results_have_no_blocks() -> None:
    spec = inferred_layer(Reduce("mean", (2, 3), True), (2, 19, 7, 7))
    choice = choice_of(spec, input_layout="pixel16")
    algorithm = algorithm_named(choice.algorithm)
    assert isinstance(algorithm, QpuAlgorithm)
    with pytest.raises(ScheduleError, match="nchw"):
        algorithm.lower(spec, TARGET, choice, (), output_lines=20)


def test_lines_too_far_apart_are_stored_one_by_one() -> None:
    spec = inferred_layer(Softmax(0), (3, 2100))
    with pytest.raises(AssertionError):
        choice_of(spec, rows=2)
    assert relative_error(spec, choice_of(spec, rows=1)) <= 1e-3


def test_more_steps_than_accumulators_join_are_refused() -> None:
    with pytest.raises(ScheduleError, match="16"):
        statistics_kernel(Form((Statistic("fadd"),), None, False, 32))
