"""Nodes that read constants alone mean what their version says, whatever the reference implementation of ONNX does."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from onnx import ModelProto, TensorProto, helper

from codegen.errors import FoldingError
from codegen.onnx_import.folding import OWN
from codegen.onnx_import.reader import import_model
from tests.codegen.onnx_cases import compare, integers, model_of, normal, number

X = normal(2, 3, 4, 5)
CHANNELS = [normal(3), normal(3) + 1, normal(3) - 1, np.abs(normal(3))]
BYTES = np.arange(12, dtype=np.uint8).reshape(3, 4)
CASES = [
    ("Softmax", 7, [X], {}),
    ("Softmax", 11, [X], {"axis": 2}),
    ("Softmax", 13, [X], {"axis": 1}),
    ("LogSoftmax", 9, [X], {}),
    ("Hardmax", 11, [X], {"axis": 2}),
    ("BatchNormalization", 7, [X, *CHANNELS], {}),
    ("BatchNormalization", 9, [X, *CHANNELS], {"epsilon": 1e-3}),
    ("BatchNormalization", 15, [X, *CHANNELS], {}),
    ("LRN", 9, [X], {"size": 3, "alpha": 0.5}),
    ("GlobalLpPool", 7, [X], {"p": 2}),
    ("Upsample", 7, [X], {"scales": [1.0, 1.0, 2.0, 3.0], "mode": "nearest"}),
    ("Upsample", 9, [X, number([1, 1, 2, 2])], {"mode": "linear"}),
    ("Resize", 10, [X, number([1, 1, 2, 2])], {"mode": "linear"}),
    ("Resize", 10, [X, number([1, 1, 0.5, 2])], {}),
    ("Resize", 13, [X, None, None, integers(2, 3, 8, 8)], {"coordinate_transformation_mode": "asymmetric"}),
    ("GatherElements", 13, [normal(1, 100), integers(0, 2, 1, 39).reshape(1, 4)], {"axis": 1}),
    ("Scatter", 9, [X[0, 0], integers(0, 1, 2, 3, 0).reshape(1, 5), normal(1, 5)], {}),
    ("DequantizeLinear", 10, [BYTES, number(0.1), np.array(3, dtype=np.uint8)], {}),
    ("DequantizeLinear", 13, [BYTES, number([0.1, 0.2, 0.3]), np.arange(3, dtype=np.uint8)], {"axis": 0}),
    ("DequantizeLinear", 13, [BYTES.astype(np.int32), number(0.1)], {}),
    ("DequantizeLinear", 19, [BYTES, number([0.1, 0.2, 0.3, 0.4])], {"axis": -1}),
]


def constant_model(
    op: str, opset: int, constants: list[np.ndarray | None], attributes: dict[str, Any]
) -> ModelProto:
    """The sum of an input and of what the node gives."""
    named = {f"c{index}": value for index, value in enumerate(constants) if value is not None}
    inputs = [f"c{index}" if value is not None else "" for index, value in enumerate(constants)]
    nodes = [helper.make_node(op, inputs, ["k"], **attributes), helper.make_node("Add", ["x", "k"], ["y"])]
    return model_of(nodes, (1,), named, opset)


@pytest.mark.parametrize(
    "op, opset, constants, attributes", CASES, ids=[f"{op}-{opset}" for op, opset, *_ in CASES]
)
def test_what_is_folded_is_what_onnxruntime_computes(
    op: str, opset: int, constants: list[np.ndarray | None], attributes: dict[str, Any]
) -> None:
    compare(constant_model(op, opset, constants, attributes), (1,))


def test_every_operator_of_its_own_is_tried() -> None:
    assert {op for op, *_ in CASES} >= OWN


def test_integers_that_float64_lacks_are_not_rounded() -> None:
    large = np.full((1, 100), 2**53 + 1)
    nodes = [
        helper.make_node("GatherElements", ["a", "i"], ["k"], axis=1),
        helper.make_node("Cast", ["k"], ["f"], to=TensorProto.FLOAT),
        helper.make_node("Add", ["x", "f"], ["y"]),
    ]
    with pytest.raises(FoldingError, match=r"node 'GatherElements_0' .* cannot be evaluated"):
        import_model(model_of(nodes, (1,), {"a": large, "i": integers(0, 1).reshape(1, 2)}, 13))


def test_bytes_keep_their_type() -> None:
    """Of an operator that is folded by this compiler's evaluation in float64."""
    nodes = [
        helper.make_node("Resize", ["a", "s"], ["k"]),
        helper.make_node("Cast", ["k"], ["f"], to=TensorProto.FLOAT),
        helper.make_node("Add", ["x", "f"], ["y"]),
    ]
    compare(
        model_of(nodes, (1,), {"a": BYTES.reshape(1, 1, 3, 4), "s": number([1, 1, 2, 2])}, 10),
        (1,),
    )


def test_outputs_behind_one_that_is_absent_are_their_own() -> None:
    constants = {"a": normal(3, 1, 4), "w": normal(1, 12, 4), "r": normal(1, 12, 3)}
    nodes = [
        helper.make_node("LSTM", ["a", "w", "r"], ["", "", "cell"], hidden_size=3),
        helper.make_node("Add", ["x", "cell"], ["y"]),
    ]
    compare(model_of(nodes, (1,), constants, 14), (1,))


def test_what_cannot_be_evaluated_is_said_of_the_node() -> None:
    model = constant_model("GridSample", 20, [X, normal(2, 3, 3, 3)], {"mode": "linear"})
    with pytest.raises(FoldingError, match=r"node 'GridSample_0' .* cannot be evaluated"):
        import_model(model)


def test_truth_values_are_not_normalized() -> None:
    model = constant_model("BatchNormalization", 15, [np.array(True), *[number([1.0])] * 4], {})
    with pytest.raises(FoldingError, match=r"node 'BatchNormalization_0' .* cannot be evaluated"):
        import_model(model)
