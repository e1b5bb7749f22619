"""Interpolated planes: what a Resize becomes, on every engine, and what stays a product or a selection."""

from __future__ import annotations

from contextlib import suppress

import numpy as np
import onnxruntime
import pytest
from onnx import helper

from codegen.algorithm import algorithm_named
from codegen.errors import GraphSpecError, ScheduleError
from codegen.interval import ANYTHING, Interval
from codegen.operators.interpolation import Interpolation, axis_taps
from codegen.operators.resize import COORDINATES, Axis, Method, matrix
from codegen.reference import evaluate_layer
from codegen.schedule import Choice
from codegen.tensor import TensorType
from explorer.backend import CompilerBackend
from tests.codegen.gpu_run import TARGET, random_tensors, relative_error
from tests.codegen.layers import inferred_layer
from tests.codegen.onnx_cases import model_of

QPU = algorithm_named("qpu_interpolation")
WAYS = sorted(set(COORDINATES) - {"tf_crop_and_resize", "tf_half_pixel_for_nn"})


def resized(
    mode: str, way: str, sizes: tuple[int, int, int, int], *, excludes: bool = False
) -> Interpolation:
    height, width, rows, columns = sizes
    method = Method(mode, way, "floor", -0.75, excludes, None, False)
    taps = [
        axis_taps(matrix(Axis(size, result, result / size), method)[0])
        for size, result in ((height, rows), (width, columns))
    ]
    assert taps[0] is not None and taps[1] is not None
    return Interpolation(*taps[0], *taps[1])


@pytest.mark.parametrize("mode", ["linear", "cubic"])
@pytest.mark.parametrize("way", WAYS)
def test_the_qpus_compute_any_resize(mode: str, way: str) -> None:
    rng = np.random.default_rng([*way.encode(), *mode.encode()])
    height, width = int(rng.integers(1, 9)), int(rng.integers(1, 9))
    sizes = height, width, int(rng.integers(1, 20)), int(rng.integers(1, 20))
    spec = inferred_layer(
        resized(mode, way, sizes), (int(rng.integers(1, 3)), int(rng.integers(1, 20)), height, width)
    )
    found: list[Choice] = []
    for point in QPU.space(spec, TARGET).points():
        with suppress(ScheduleError):
            found.append(QPU.choice(spec, TARGET, point))
    assert relative_error(spec, found[rng.integers(len(found))]) < 2e-5


def test_both_axes_are_products_with_their_matrices() -> None:
    sizes = (5, 7, 8, 9)
    spec = inferred_layer(resized("cubic", "half_pixel", sizes), (2, 3, 5, 7))
    inputs, _ = random_tensors(spec, 2)
    method = Method("cubic", "half_pixel", "floor", -0.75, False, None, False)
    rows, columns = matrix(Axis(5, 8, 8 / 5), method)[0], matrix(Axis(7, 9, 9 / 7), method)[0]
    (result,) = evaluate_layer(spec, inputs, [])
    np.testing.assert_allclose(result, np.einsum("yh,nchw,xw->ncyx", rows, inputs[0], columns), rtol=1e-6)


def test_sums_of_many_elements_are_none() -> None:
    assert axis_taps(np.full((2, 5), 0.2)) is None


def test_weights_that_sum_to_one_keep_the_range() -> None:
    within = Interval(-1.0, 2.0)
    assert resized("linear", "half_pixel", (4, 4, 7, 7)).range([within]) == within
    assert resized("cubic", "half_pixel", (4, 4, 7, 7)).range([within]) == ANYTHING


@pytest.mark.parametrize(
    "op",
    [
        Interpolation(((0,),), ((1.0,),), ((3,),), ((1.0,),)),
        Interpolation(((0, 1),), ((1.0,),), ((0,),), ((1.0,),)),
        Interpolation((), (), ((0,),), ((1.0,),)),
    ],
)
def test_places_that_do_not_fit_are_refused(op: Interpolation) -> None:
    with pytest.raises(GraphSpecError):
        op.infer([TensorType((1, 1, 3, 3))], [], [])


def test_a_network_may_have_several_on_the_cpu() -> None:
    sizes = ("s1", np.array([1, 1, 2, 2], np.float32)), ("s2", np.array([1, 1, 1.5, 3], np.float32))
    nodes = [
        helper.make_node("Resize", ["x", "", "s1"], ["a"], mode="linear"),
        helper.make_node("Resize", ["a", "", "s2"], ["y"], mode="cubic"),
    ]
    model = model_of(nodes, (1, 3, 6, 5), dict(sizes), 13)
    value = np.random.default_rng(0).standard_normal((1, 3, 6, 5)).astype(np.float32)
    (found,) = CompilerBackend.prepare(model).run({"x": value})
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    np.testing.assert_allclose(found, session.run(None, {"x": value})[0], rtol=1e-4, atol=1e-5)
