"""Quantised operators of onnxruntime's own set give what onnxruntime gives, within a unit."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime
import pytest
from onnx import ModelProto, helper, numpy_helper

from codegen.errors import ModelError
from codegen.onnx_import.reader import import_model
from codegen.passes import optimize
from codegen.reference import evaluate
from tests.codegen.onnx_cases import normal
from tests.codegen.quantized_models import scale, whole_numbers

SHAPE = (1, 6, 5, 4)
POINT = np.array(120, np.uint8)
CONSTANTS = {
    "xs": scale(0.02),
    "xz": np.array(128, np.uint8),
    "ys": scale(0.05),
    "yz": POINT,
    "which": np.arange(120).reshape(SHAPE) % 3 == 0,
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
    "QLinearWhere": (["which", "x", "xs", "xz", "c", "ys", "yz", "ys", "yz"], SHAPE, {}),
    "QGemm": (["x", "xs", "xz", "w", "ws", "wz", "b", "ys", "yz"], (3, 6), {}),
}


@pytest.mark.parametrize("op_type", CASES)
def test_results_are_onnxruntimes(op_type: str) -> None:
    inputs, shape, attributes = CASES[op_type]
    check(op_type, inputs, whole_numbers(shape, "uint8"), {}, **attributes)


CHANNELS_LAST: dict[str, tuple[list[str], dict[str, Any]]] = {
    "QLinearConv": (
        ["x", "xs", "xz", "k", "ws6", "wz6", "ys", "yz"],
        {"pads": [1, 0, 1, 0], "channels_last": 1},
    ),
    "QLinearAveragePool": (["x", "xs", "xz", "ys", "yz"], {"kernel_shape": [2, 2], "channels_last": 1}),
    "QLinearGlobalAveragePool": (["x", "xs", "xz", "ys", "yz"], {"channels_last": 1}),
    "NhwcMaxPool": (["x"], {"kernel_shape": [2, 2], "strides": [2, 1]}),
}


@pytest.mark.parametrize("op_type", CHANNELS_LAST)
def test_channels_may_come_last(op_type: str) -> None:
    inputs, attributes = CHANNELS_LAST[op_type]
    more: dict[str, np.ndarray] = {
        "k": whole_numbers((6, 4, 3, 2), "int8"),
        "ws6": np.linspace(0.001, 0.004, 6, dtype=np.float32),
        "wz6": np.zeros(6, np.int8),
    }
    check(op_type, inputs, whole_numbers((1, 5, 6, 4), "uint8"), more, **attributes)


def model_of(
    op_type: str, inputs: list[str], x: np.ndarray, more: dict[str, np.ndarray], **attributes: Any
) -> ModelProto:
    constants = {**CONSTANTS, **more}
    dtype = np.dtype("float32") if "MatMul" in op_type else x.dtype
    graph = helper.make_graph(
        [helper.make_node(op_type, inputs, ["y"], domain="com.microsoft", **attributes)],
        "single",
        [helper.make_tensor_value_info("x", helper.np_dtype_to_tensor_dtype(x.dtype), x.shape)],
        [helper.make_tensor_value_info("y", helper.np_dtype_to_tensor_dtype(dtype), None)],
        [numpy_helper.from_array(value, name) for name, value in constants.items() if name in inputs],
    )
    sets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(graph, opset_imports=sets, ir_version=8)


def check(
    op_type: str, inputs: list[str], x: np.ndarray, more: dict[str, np.ndarray], **attributes: Any
) -> None:
    """Integers are onnxruntime's but for few that are a unit off, floats within rounding."""
    model = model_of(op_type, inputs, x, more, **attributes)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    (wanted,) = session.run(None, {"x": x})
    found = evaluate(optimize(import_model(model)), {"x": x})["y"]
    off = np.abs(found - wanted.astype(np.float64))
    most = 2e-6 * np.abs(wanted).max() if wanted.dtype.kind == "f" else 1.0
    assert found.shape == wanted.shape and len(np.unique(wanted)) > 3
    assert off.max() <= most and (wanted.dtype.kind == "f" or np.count_nonzero(off) <= 0.03 * off.size)


FLOATS: dict[str, np.ndarray] = {"bias": normal(7), "numbers": normal(3, 6)}


@pytest.mark.parametrize("last", [["xz", "wz", "bias"], ["xz"], ["", "", "bias"]])
def test_a_product_of_integers_gives_floats(last: list[str]) -> None:
    inputs = ["x", "w", "xs", "ws", *last]
    check("MatMulIntegerToFloat", inputs, whole_numbers((3, 6), "uint8"), FLOATS)


@pytest.mark.parametrize("last", [["wz", "bias"], ["", "bias"], []])
def test_floats_are_quantised_in_the_run(last: list[str]) -> None:
    check("DynamicQuantizeMatMul", ["x", "w", "ws", *last], normal(3, 6), FLOATS)


@pytest.mark.parametrize("bits", [2, 4, 8])
@pytest.mark.parametrize("asymmetric", [False, True])
def test_weights_of_few_bits_are_unpacked(bits: int, asymmetric: bool) -> None:
    rows, columns, block = 5, 40, 16
    random = np.random.default_rng(bits)
    constants: dict[str, np.ndarray] = {
        "packed": random.integers(0, 256, (rows, 3, block * bits // 8)).astype(np.uint8),
        "scales": random.uniform(0.01, 0.1, rows * 3).astype(np.float32),
        "zeros": random.integers(0, 256, rows * -(-3 * bits // 8)).astype(np.uint8),
    }
    inputs = ["x", "packed", "scales", *(["zeros"] if asymmetric else [])]
    check(
        "MatMulNBits", inputs, normal(3, columns), constants, K=columns, N=rows, bits=bits, block_size=block
    )


def test_weights_of_few_bits_that_do_not_fit_are_told() -> None:
    constants: dict[str, np.ndarray] = {
        "packed": np.zeros((5, 3, 8), np.uint8),
        "scales": np.ones(14, np.float32),
    }
    inputs, x = ["x", "packed", "scales"], normal(3, 40)
    with pytest.raises(ModelError, match="14 scales do not fit"):
        import_model(model_of("MatMulNBits", inputs, x, constants, K=40, N=5, bits=4, block_size=16))
