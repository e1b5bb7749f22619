"""TopK compiled and run: any count, order, axis and element type, equals and numbers that are none, against numpy."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import helper

from explorer.backend import prepare
from tests.explorer.test_lengths import FLAGS, model_of


@pytest.mark.parametrize("largest", [0, 1])
@pytest.mark.parametrize("dtype", ["float32", "float64", "int8", "uint8", "int64"])
@pytest.mark.parametrize(("shape", "axis", "count"), [((40,), 0, 1), ((3, 33, 2), 1, 17), ((2, 5), -1, 5)])
def test_the_best_come_in_order_and_of_equals_the_first(
    shape: tuple[int, ...], axis: int, count: int, dtype: str, largest: int
) -> None:
    random = np.random.default_rng(count)
    x = random.integers(0, 9, shape).astype(dtype)
    if np.dtype(dtype).kind == "f":
        x[x == 8] = np.nan
        x[x == 7] = -np.inf
    node = helper.make_node("TopK", ["x", "k"], ["y", "places"], axis=axis, largest=largest)
    model = model_of([node], {"x": x}, ["y", "places"], {"k": np.array([count])})
    values, places = prepare(model, flags=FLAGS).run({"x": x})
    signed = x.astype(np.float64)
    wanted = np.argsort(-signed if largest else signed, axis=axis, kind="stable").take(
        np.arange(count), axis=axis
    )
    np.testing.assert_array_equal(places, wanted)
    np.testing.assert_array_equal(values, np.take_along_axis(x, wanted, axis))
