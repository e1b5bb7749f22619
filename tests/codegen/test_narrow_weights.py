"""Weights of 4 bits that are constants: read, also from a file beside the model, and dequantised; others refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import ModelProto, TensorProto, helper

from codegen.errors import UnsupportedOperatorError, UnsupportedTypeError
from codegen.onnx_import.reader import import_model, load_graph
from codegen.onnx_import.tensors import NARROW
from codegen.passes import optimize
from codegen.reference import evaluate
from tests.codegen.onnx_cases import normal

SHAPE = (9, 5)


def model_of(element: int, op_type: str = "DequantizeLinear") -> ModelProto:
    low = -8 if element == TensorProto.INT4 else 0
    numbers = np.random.default_rng(1).integers(low, low + 16, SHAPE)
    zeros = np.arange(5) + low
    scales = np.linspace(0.1, 0.3, 5, dtype=np.float32)
    nodes = [
        helper.make_node(op_type, ["q", "s", "z"], ["w"], axis=1),
        helper.make_node("MatMul", ["x", "w"], ["y"]),
    ]
    initializers = [
        helper.make_tensor("q", element, SHAPE, numbers.reshape(-1).tolist()),
        helper.make_tensor("z", element, (5,), zeros.tolist()),
        helper.make_tensor("s", TensorProto.FLOAT, (5,), scales.tolist()),
    ]
    graph = helper.make_graph(
        nodes,
        "narrow",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, (2, 9))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        initializers,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)


@pytest.mark.parametrize("element", NARROW)
@pytest.mark.parametrize("is_beside", [False, True])
def test_results_are_onnxruntimes(element: int, is_beside: bool, tmp_path: Path) -> None:
    model, x, path = model_of(element), normal(2, 9), tmp_path / "narrow.onnx"
    options = onnxruntime.SessionOptions()  # its optimiser would quantise the input too
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    (wanted,) = session.run(None, {"x": x})
    onnx.save(model, path, save_as_external_data=is_beside, location="weights", size_threshold=0)
    found = evaluate(optimize(load_graph(path)), {"x": x})["y"]
    np.testing.assert_allclose(found, wanted, atol=1e-5)


def test_what_is_computed_has_no_4_bits() -> None:
    model = model_of(TensorProto.INT4)
    node = helper.make_node("QuantizeLinear", ["x", "s", "z"], ["r"], axis=1)
    del model.graph.node[:]
    model.graph.node.extend([node, helper.make_node("DequantizeLinear", ["r", "s", "z"], ["y"], axis=1)])
    model.graph.input[0].type.tensor_type.shape.dim[1].dim_value = 5
    with pytest.raises(UnsupportedOperatorError, match="4 bits"):
        import_model(model)
    node.attribute.append(helper.make_attribute("output_dtype", TensorProto.INT4))
    node.input.pop()
    model.graph.node[0].CopyFrom(node)
    with pytest.raises(UnsupportedTypeError, match="INT4"):
        import_model(model)


def there_and_back(opset: int, element: int) -> ModelProto:
    """Quantised and dequantised, to the type that both are told to give."""
    attribute = helper.make_attribute("output_dtype", element)
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "one"], ["r"]),
        helper.make_node("DequantizeLinear", ["r", "one"], ["y"]),
    ]
    nodes[opset >= 23].attribute.append(attribute)
    model = model_of(TensorProto.INT4)
    del model.graph.node[:], model.graph.initializer[:]
    model.graph.node.extend(nodes)
    model.graph.initializer.append(helper.make_tensor("one", TensorProto.FLOAT, (), [1.0]))
    model.opset_import[0].version = opset
    return model


@pytest.mark.parametrize("opset", [21, 23])
def test_a_type_that_is_undefined_is_the_usual_one(opset: int) -> None:
    """So onnxruntime's optimiser writes QuantizeLinear."""
    x = np.array([[300.0, -3.0, 7.4] * 3] * 2, np.float32)
    found = evaluate(import_model(there_and_back(opset, TensorProto.UNDEFINED)), {"x": x})["y"]
    assert found.tolist() == [[255.0, 0.0, 7.0] * 3] * 2


def test_another_type_than_that_of_the_scale_is_refused() -> None:
    with pytest.raises(UnsupportedOperatorError, match="another type"):
        import_model(there_and_back(23, TensorProto.FLOAT16))


def test_a_cast_to_the_type_of_4_bits_is_declined() -> None:
    model = model_of(TensorProto.INT4)
    name = next(one.name for one in model.graph.initializer if one.data_type == TensorProto.INT4)
    del model.graph.node[:]
    model.graph.node.append(helper.make_node("CastLike", ["x", name], ["y"]))
    with pytest.raises(UnsupportedOperatorError, match="4 bits"):
        import_model(model)
