"""Classes that texts name: what a compiled network gives is what onnxruntime gives."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime
import pytest
from onnx import NodeProto, TensorProto, helper, numpy_helper

from codegen.onnx_import.reader import import_model
from explorer.backend import prepare

NAMES = ["cat", "dog", "owl"]
ML = "ai.onnx.ml"


def ml(op_type: str, inputs: list[str], outputs: list[str], **attributes: Any) -> NodeProto:
    return helper.make_node(op_type, inputs, outputs, domain=ML, **attributes)


CLASSIFIER = ml(
    "LinearClassifier",
    ["x"],
    ["classes", "scores"],
    coefficients=[1.0, -1.0, 0.5, 0.25, 2.0, -0.5],
    intercepts=[0.0, 0.1, -0.1],
    classlabels_strings=NAMES,
)
BEST = helper.make_node("ArgMax", ["x"], ["best"], axis=1, keepdims=0)
CASES: dict[str, list[NodeProto]] = {
    "a classifier": [CLASSIFIER, helper.make_node("Identity", ["classes"], ["y"])],
    "a table": [BEST, helper.make_node("Gather", ["table", "best"], ["y"])],
    "features of a table": [
        BEST,
        ml("ArrayFeatureExtractor", ["table", "best"], ["found"]),
        helper.make_node("Cast", ["found"], ["text"], to=TensorProto.STRING),
        helper.make_node("Reshape", ["text", "flat"], ["y"]),
    ],
    "numbers to texts": [
        BEST,
        ml(
            "LabelEncoder", ["best"], ["y"], keys_int64s=[1, 5], values_strings=["b", "f"], default_string="?"
        ),
    ],
    "texts to texts": [
        CLASSIFIER,
        ml(
            "LabelEncoder", ["classes"], ["y"], keys_strings=["owl", "cat"], values_strings=["bird", "mammal"]
        ),
    ],
    "texts to numbers": [
        CLASSIFIER,
        ml("LabelEncoder", ["classes"], ["y"], keys_strings=["owl", "dog"], values_floats=[2.5, 7.0]),
    ],
    "texts to whole numbers": [
        CLASSIFIER,
        ml(
            "LabelEncoder",
            ["classes"],
            ["y"],
            keys_tensor=numpy_helper.from_array(np.array(["owl", "dog"], object), "k"),
            values_tensor=helper.make_tensor("v", TensorProto.INT64, (2,), [2, 7]),
            default_tensor=helper.make_tensor("d", TensorProto.INT64, (1,), [9]),
        ),
    ],
}


@pytest.mark.parametrize("case", CASES)
def test_what_is_given_is_onnxruntimes(case: str) -> None:
    graph = helper.make_graph(
        CASES[case],
        "texts",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, (7, 2))],
        [helper.make_empty_tensor_value_info("y")],
        [
            numpy_helper.from_array(np.array(NAMES, object), "table"),
            helper.make_tensor("flat", TensorProto.INT64, (1,), [-1]),
        ],
    )
    sets = [helper.make_opsetid("", 17), helper.make_opsetid(ML, 4)]
    model = helper.make_model(graph, opset_imports=sets, ir_version=8)
    x = np.random.default_rng(4).standard_normal((7, 2)).astype(np.float32)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    (wanted,) = session.run(None, {"x": x})
    (found,) = prepare(model, flags=("-O1",)).run([x])
    assert len(set(wanted.tolist())) > 1
    assert found.tolist() == wanted.tolist()
    assert import_model(model).types["y"].dtype == (wanted.dtype.name if wanted.dtype != object else "int64")
