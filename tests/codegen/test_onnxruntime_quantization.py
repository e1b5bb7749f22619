"""Quantised operators of onnxruntime's own set give what onnxruntime gives, within a unit."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from codegen.errors import UnsupportedOperatorError
from codegen.onnx_import.reader import import_model
from codegen.passes import optimize
from codegen.reference import evaluate
from tests.codegen.quantized_models import scale, whole_numbers

SHAPE = (1, 6, 5, 4)
POINT = np.array(120, np.uint8)
CONSTANTS = {
    "xs": scale(0.02),
    "xz": np.array(128, np.uint8),
    "ys": scale(0.05),
    "yz": POINT,
    "c": whole_numbers(SHAPE, "uint8", seed=5),
    "w": whole_numbers((6, 7), "int8"),
    "ws": np.linspace(0.001, 0.004, 7, dtype=np.float32),
    "wz": np.zeros(7, np.int8),
    "b": np.arange(7, dtype=np.int32) * 50,
}
CASES: dict[str, tuple[list[str], tuple[int, ...], dict[str, Any]]] = {
    "QLinearAdd": (["x", "xs", "xz", "c", "ys", "yz", "ys", "yz"], SHAPE, {}),
    "QLinearMul": (["x", "xs", "xz", "c", "ys", "yz", "ys", "yz"], SHAPE, {}),
    "QLinearConcat": (["ys", "yz", "x", "xs", "xz", "c", "ys", "yz"], SHAPE, {"axis": 1}),
    "QLinearGlobalAveragePool": (["x", "xs", "xz", "ys", "yz"], SHAPE, {"channels_last": 0}),
    "QLinearAveragePool": (["x", "xs", "xz", "ys", "yz"], SHAPE, {"kernel_shape": [2, 2]}),
    "QLinearLeakyRelu": (["x", "xs", "xz", "ys", "yz"], SHAPE, {"alpha": 0.25}),
    "QLinearSigmoid": (["x", "xs", "xz", "ys", "yz"], SHAPE, {}),
    "QGemm": (["x", "xs", "xz", "w", "ws", "wz", "b", "ys", "yz"], (3, 6), {}),
}


@pytest.mark.parametrize("op_type", CASES)
def test_results_are_onnxruntimes(op_type: str) -> None:
    inputs, shape, attributes = CASES[op_type]
    node = helper.make_node(op_type, inputs, ["y"], domain="com.microsoft", **attributes)
    graph = helper.make_graph(
        [node],
        "single",
        [helper.make_tensor_value_info("x", TensorProto.UINT8, shape)],
        [helper.make_tensor_value_info("y", TensorProto.UINT8, None)],
        [numpy_helper.from_array(value, name) for name, value in CONSTANTS.items() if name in inputs],
    )
    sets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    model = helper.make_model(graph, opset_imports=sets, ir_version=8)
    value = whole_numbers(shape, "uint8")
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    (expected,) = session.run(None, {"x": value})
    found = evaluate(optimize(import_model(model)), {"x": value})["y"]
    off = np.abs(found - expected.astype(np.float64))
    assert found.shape == expected.shape and len(np.unique(expected)) > 3
    assert off.max() <= 1 and np.count_nonzero(off) <= 0.02 * off.size


def test_channels_last_are_refused() -> None:
    node = helper.make_node(
        "QLinearGlobalAveragePool",
        ["x", "xs", "xz", "ys", "yz"],
        ["y"],
        domain="com.microsoft",
        channels_last=1,
    )
    graph = helper.make_graph(
        [node],
        "single",
        [helper.make_tensor_value_info("x", TensorProto.UINT8, SHAPE)],
        [helper.make_tensor_value_info("y", TensorProto.UINT8, None)],
        [numpy_helper.from_array(CONSTANTS[name], name) for name in ("xs", "xz", "ys", "yz")],
    )
    sets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    with pytest.raises(UnsupportedOperatorError, match="channels come last"):
        import_model(helper.make_model(graph, opset_imports=sets, ir_version=8))
