"""Inputs that are constants because the user says their values."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper

from codegen.errors import DynamicShapeError, ModelError
from codegen.onnx_import.fixed_inputs import with_fixed_inputs
from codegen.onnx_import.reader import import_model
from codegen.reference import evaluate

X = np.arange(12, dtype=np.float32).reshape(3, 4)
Shape = list[int | str]


def model(type_: int = TensorProto.INT64, shape: Shape | None = None, ir: int = 8) -> ModelProto:
    """x times 2 where the largest of `rate` is 16000, else x plus 1; and the rate as float32."""
    inputs = [
        helper.make_tensor_value_info("x", TensorProto.FLOAT, [3, 4]),
        helper.make_tensor_value_info("rate", type_, shape or []),
    ]
    branches = {
        name: helper.make_graph(
            [helper.make_node(operator, ["x", constant], [name])],
            name,
            [],
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, [3, 4])],
        )
        for name, operator, constant in (("high", "Mul", "two"), ("low", "Add", "one"))
    }
    nodes = [
        helper.make_node("Cast", ["rate"], ["cast"], to=TensorProto.FLOAT),
        helper.make_node("Reshape", ["cast", "flat"], ["told"]),
        helper.make_node("ReduceMax", ["told"], ["most"], keepdims=0),
        helper.make_node("Equal", ["most", "high_rate"], ["is_high"]),
        helper.make_node("If", ["is_high"], ["y"], then_branch=branches["high"], else_branch=branches["low"]),
    ]
    outputs = [
        helper.make_tensor_value_info("y", TensorProto.FLOAT, [3, 4]),
        helper.make_tensor_value_info("told", TensorProto.FLOAT, ["n"]),
    ]
    constants = {
        "two": np.float32(2),
        "one": np.float32(1),
        "high_rate": np.float32(16000),
        "flat": np.array([-1]),
    }
    initializers = [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()]
    if ir < 4:
        inputs += [
            helper.make_tensor_value_info(one.name, one.data_type, list(one.dims)) for one in initializers
        ]
    graph = helper.make_graph(nodes, "rates", inputs, outputs, initializers)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=ir)


@pytest.mark.parametrize("ir", [3, 8])
@pytest.mark.parametrize("rate", ["16000", " 8000"])
def test_the_network_computes_what_onnxruntime_computes_from_that_value(rate: str, ir: int) -> None:
    whole = model(ir=ir)
    fixed = with_fixed_inputs(whole, {"rate": rate}, {}, Path())
    onnx.checker.check_model(fixed)
    graph = import_model(fixed)
    assert graph.inputs == ("x",)
    session = onnxruntime.InferenceSession(whole.SerializeToString())
    wanted = session.run(None, {"x": X, "rate": np.array(int(rate))})
    for found, one in zip(evaluate(graph, {"x": X}).values(), wanted, strict=True):
        np.testing.assert_array_equal(found, one)


def test_the_given_model_stays_as_it_is() -> None:
    whole = model()
    before = whole.SerializeToString(deterministic=True)
    with_fixed_inputs(whole, {"rate": "1"}, {}, Path())
    assert whole.SerializeToString(deterministic=True) == before


@pytest.mark.parametrize(
    ("type_", "shape", "given", "text", "value"),
    [
        (TensorProto.FLOAT, [2, 2], {}, "1,2.5,-3e2,inf", np.array([[1, 2.5], [-300, np.inf]], np.float32)),
        (TensorProto.INT32, ["n"], {}, "5,6,7", np.array([5, 6, 7], np.int32)),
        (TensorProto.INT64, ["n", 2], {"rate": (1, 2)}, "5,6", np.array([[5, 6]])),
        (TensorProto.BOOL, [2], {}, "true,0", np.array([True, False])),
    ],
)
def test_values_are_of_the_type_and_shape_of_the_input(
    type_: int, shape: Shape, given: dict[str, tuple[int, ...]], text: str, value: np.ndarray
) -> None:
    fixed = with_fixed_inputs(model(type_, shape), {"rate": text}, given, Path())
    (found,) = (numpy_helper.to_array(one) for one in fixed.graph.initializer if one.name == "rate")
    assert found.dtype == value.dtype
    np.testing.assert_array_equal(found, value)


@pytest.mark.parametrize(
    ("type_", "shape", "name", "text", "message"),
    [
        (TensorProto.INT64, [], "rat", "1", "no input 'rat'.*: x, rate"),
        (TensorProto.INT64, [], "two", "1", "no input 'two'"),
        (TensorProto.INT64, [], "rate", "1.5", "'rate' of int64 cannot take '1.5'"),
        (TensorProto.INT64, [], "rate", "high", "cannot take 'high'"),
        (TensorProto.UINT8, [], "rate", "256", "cannot take 256; give one of 0 to 255"),
        (TensorProto.BOOL, [], "rate", "2", "of 0 to 1"),
        (TensorProto.FLOAT, [], "rate", "1e39", "of float32 cannot take '1e39'"),
        (TensorProto.INT64, [], "rate", "1,2", "cannot take 2 elements; give 1"),
        (TensorProto.INT64, [2, 2], "rate", "1,2,3", "cannot take 3 elements; give 4"),
    ],
)
def test_what_does_not_fit_is_refused(type_: int, shape: Shape, name: str, text: str, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        with_fixed_inputs(model(type_, shape), {name: text}, {}, Path())


def test_an_open_shape_has_to_be_given_too() -> None:
    with pytest.raises(DynamicShapeError, match="'rate' has no fixed shape"):
        with_fixed_inputs(model(TensorProto.INT64, ["n", 2]), {"rate": "1,2"}, {}, Path())


def test_external_data_are_taken_into_the_model(tmp_path: Path) -> None:
    whole = model()
    next(one for one in whole.graph.initializer if one.name == "one").CopyFrom(
        numpy_helper.from_array(X, "one")
    )
    place = tmp_path / "net.onnx"
    onnx.save(whole, place, save_as_external_data=True, location="data", size_threshold=0)
    read = onnx.load(place, load_external_data=False)
    assert any(one.data_location == TensorProto.EXTERNAL for one in read.graph.initializer)
    graph = import_model(with_fixed_inputs(read, {"rate": "8000"}, {}, tmp_path))
    np.testing.assert_array_equal(next(iter(evaluate(graph, {"x": X}).values())), 2 * X)
