"""Sampling, spectra, sequences along an axis: import and passes against onnxruntime, or ONNX's reference."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from onnx import helper
from onnx.reference import ReferenceEvaluator

from codegen.errors import ModelError
from codegen.onnx_import.reader import import_model
from codegen.reference import evaluate
from tests.codegen.onnx_cases import Case, compare, integers, model_of, normal, single

GRID, SMALL = normal(2, 3, 5, 2) * np.float32(0.8), (2, 3, 6, 5)
ROIS = np.array([[0, 0, 4, 5], [1, 1, 3, 3], [-2, 0.5, 9, 9], [3, 3, 1, 1]], np.float32)
IMAGES = integers(0, 1, 1, 0)
KERNEL, OFFSETS = normal(4, 3, 2, 2), normal(2, 8, 5, 4)

CASES = [
    *(
        (Case("GridSample", SMALL, [GRID], {"mode": mode, "padding_mode": padding, "align_corners": aligned}), 20)
        for mode in ("nearest", "linear", "cubic")
        for padding in ("zeros", "border", "reflection")
        for aligned in (0, 1)
    ),
    (Case("GridSample", SMALL, [GRID], {"mode": "bicubic"}), 16),
    (Case("GridSample", (1, 2, 3, 4, 5), [normal(1, 2, 3, 2, 3)], {"mode": "linear"}), 20),
    *(
        (Case("RoiAlign", SMALL, [ROIS, IMAGES], {"output_height": 3, "output_width": 2, **attributes}), opset)
        for attributes, opset in (
            ({}, 10),
            ({"sampling_ratio": 2, "spatial_scale": 0.5}, 16),
            ({"coordinate_transformation_mode": "output_half_pixel"}, 16),
        )
    ),
    (Case("Det", (3, 4, 4)), 11),
    (Case("Shrink", SMALL, attributes={"lambd": 1.0, "bias": 0.25}), 9),
    *((Case("DFT", (2, length, 3, parts), [], {"axis": 1, **kind}), 17) for length, parts, kind in (
        (10, 1, {}), (12, 2, {"inverse": 1}), (7, 1, {"onesided": 1}), 
    )),
    *((Case("DFT", (2, 10, 1), [integers(length)[0]], {"axis": 1}), 17) for length in (6, 12)),
    (Case("STFT", (2, 30, 1), [integers(4)[0], None, integers(12)[0]]), 17),
    (Case("STFT", (2, 30, 1), [integers(5)[0], np.abs(normal(16)), None], {"onesided": 0}), 17),
    (Case("STFT", (2, 30), [integers(5)[0], np.abs(normal(16)), None]), 17),
    (Case("Col2Im", (2, 12, 20), [integers(5, 6), integers(2, 2)], {"strides": [1, 1]}), 18),
    (
        Case(
            "Col2Im",
            (1, 12, 6),
            [integers(6, 5), integers(3, 2)],
            {"strides": [2, 2], "pads": [1, 0, 0, 1], "dilations": [1, 2]},
        ),
        18,
    ),
    (
        Case("ReverseSequence", (4, 3, 2), [integers(1, 4, 2)], {"batch_axis": 1, "time_axis": 0}),
        10,
    ),
]  # fmt: skip


@pytest.mark.parametrize(("case", "opset"), CASES, ids=str)
def test_it_gives_what_onnxruntime_gives(case: Case, opset: int) -> None:
    compare(single(case, opset), case.shape)


REFERENCED: list[tuple[Case, int]] = [
    (
        Case(
            "DeformConv",
            (2, 3, 6, 5),
            [KERNEL, OFFSETS, normal(4), np.abs(normal(2, 4, 5, 4))],
            {"kernel_shape": [2, 2], "pads": [0, 0, 0, 0]},
        ),
        19,
    ),
    (Case("DeformConv", (2, 3, 5, 4), [KERNEL, OFFSETS], {"pads": [0, 0, 1, 1]}), 19),
    (Case("TensorScatter", (2, 3, 6, 4), [normal(2, 3, 2, 4), integers(1, 3)]), 24),
    (
        Case("TensorScatter", (2, 3, 6, 4), [normal(2, 3, 2, 4), integers(5, 3)], {"mode": "circular"}),
        24,
    ),
    (Case("DFT", (2, 6, 2), [], {"inverse": 1, "onesided": 1}), 20),
    (Case("DFT", (2, 36, 3, 1), [], {"axis": 1}), 17),
    (Case("DFT", (2, 34, 2), [], {"inverse": 1}), 20),
    (Case("DFT", (2, 5, 2), [integers(9)[0]], {"inverse": 1, "onesided": 1}), 20),
]


@pytest.mark.parametrize(("case", "opset"), REFERENCED, ids=str)
def test_it_gives_what_the_reference_gives(case: Case, opset: int) -> None:
    model = single(case, opset)
    x = np.random.default_rng(3).standard_normal(case.shape).astype(np.float32)
    (wanted,) = map(np.asarray, ReferenceEvaluator(model).run(None, {"x": x}))
    found = evaluate(import_model(model), {"x": x})["y"]
    np.testing.assert_allclose(found, wanted, atol=1e-5, rtol=1e-5)


def test_bits_are_read_as_another_type() -> None:
    node = helper.make_node("BitCast", ["x"], ["y"], to=helper.np_dtype_to_tensor_dtype(np.dtype("int32")))
    x = normal(5)
    found = evaluate(import_model(model_of([node], (5,), {}, 26)), {"x": x})["y"]
    assert found.tolist() == x.view(np.int32).tolist()


def test_an_unpooled_output_may_be_larger() -> None:
    places = np.array([[[[0, 3], [9, 14]]]])
    constants: dict[str, Any] = {"places": places, "shape": integers(1, 1, 5, 6)}
    node = helper.make_node("MaxUnpool", ["x", "places", "shape"], ["y"], kernel_shape=[2, 2], strides=[2, 2])
    model = model_of([node], (1, 1, 2, 2), constants, 22)
    x = normal(1, 1, 2, 2)
    found = evaluate(import_model(model), {"x": x})["y"]
    (wanted,) = ReferenceEvaluator(model).run(None, {"x": x})
    assert found.shape == (1, 1, 5, 6) and np.array_equal(found, wanted)


@pytest.mark.parametrize(
    ("case", "opset", "reason"),
    [
        (Case("GridSample", SMALL, [GRID], {"mode": "quintic"}), 20, "quintic"),
        (Case("GridSample", SMALL, [normal(1, 3, 5, 2)]), 20, "at \\(1, 3, 5, 2\\)"),
        (Case("DFT", (2, 6, 3)), 20, "does not end with 1 or 2 parts"),
        (Case("DFT", (2, 6, 1), [], {"axis": 2}), 17, "holds real and imaginary parts"),
        (Case("STFT", (2, 30, 1), [integers(0)[0], None, integers(12)[0]]), 17, "a step of 0"),
        (Case("Col2Im", (2, 12, 19), [integers(5, 6), integers(2, 2)]), 18, "not 19"),
        (Case("Det", (3, 4, 5)), 11, "Determinant of a tensor"),
        (Case("ReverseSequence", (4, 3), [integers(1, 2, 3)], {"time_axis": 1}), 10, "time axis 1"),
        (Case("DeformConv", (2, 3, 5, 5), [KERNEL, OFFSETS]), 19, "DeformConv of tensors"),
    ],
    ids=str,
)
def test_what_does_not_fit_is_said(case: Case, opset: int, reason: str) -> None:
    with pytest.raises(ModelError, match=reason):
        import_model(single(case, opset))


@pytest.mark.parametrize("mode", ["nearest", "linear", "cubic"])
def test_a_long_axis_that_shrinks_takes_no_square_of_its_length(mode: str) -> None:
    scales = np.array([1, 1, 2, 2.0**-17], np.float32)
    case = Case("Resize", (1, 1, 2, 2**18), [None, scales], {"mode": mode})
    compare(single(case, 19), case.shape)


@pytest.mark.parametrize("mode", ["linear", "cubic"])
@pytest.mark.parametrize("dtype", [np.uint8, np.int32])
def test_sums_of_integers_are_rounded_once_and_kept_to_their_type(mode: str, dtype: type) -> None:
    x: np.ndarray = np.random.default_rng(5).integers(0, 256, (1, 2, 4, 3, 5)).astype(dtype)
    scales = {"scales": np.array([1, 1, 2, 2, 4], np.float32)}
    node = helper.make_node("Resize", ["x", "", "scales"], ["y"], mode=mode)
    model = model_of([node], x.shape, scales, 18)
    for info in (*model.graph.input, *model.graph.output):
        info.type.tensor_type.elem_type = helper.np_dtype_to_tensor_dtype(x.dtype)
    (wanted,) = ReferenceEvaluator(model).run(None, {"x": x})
    assert np.array_equal(evaluate(import_model(model), {"x": x})["y"], wanted)
