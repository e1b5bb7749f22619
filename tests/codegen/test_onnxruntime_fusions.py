"""Operators that onnxruntime's optimiser writes give what onnxruntime gives."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper

from codegen.errors import UnsupportedOperatorError
from codegen.onnx_import.reader import import_model
from codegen.passes import optimize
from codegen.reference import evaluate
from tests.codegen.onnx_cases import normal

ROWS, IMAGE = (2, 5, 8), (1, 3, 7, 6)
CONSTANTS: dict[str, np.ndarray] = {
    "w": normal(4, 3, 3, 2),
    "b": normal(4),
    "z": normal(1, 4, 5, 5),
    "matrix": normal(8, 6),
    "six": normal(6),
    "turned": normal(6, 8),
    "batches": normal(8, 2, 6),
    "skip": normal(2, 5, 8),
    "gamma": normal(8),
    "beta": normal(8) * 2,
    "words": normal(11, 8),
    "places": normal(9, 8),
    "segments": normal(2, 8),
    "which": np.array([[0, 1, 1, 0, 1], [1, 1, 0, 0, 0]], np.int32),
    "order": np.array([[4, 3, 2, 1, 0]] * 2, np.int32),
}
Attributes = dict[str, Any]
CASES: list[tuple[str, tuple[int, ...], list[str], Attributes]] = [
    ("FusedConv", IMAGE, ["x", "w", "b", "z"], {"activation": "Relu"}),
    ("FusedConv", IMAGE, ["x", "w"], {"activation": "LeakyRelu", "activation_params": [0.3]}),
    ("FusedConv", IMAGE, ["x", "w", "b"], {"activation": "Clip", "activation_params": [-0.5, 0.75]}),
    ("FusedConv", IMAGE, ["x", "w"], {"activation": "HardSigmoid", "activation_params": [0.3, 0.4]}),
    ("FusedConv", IMAGE, ["x", "w", "b"], {"activation": "Tanh", "pads": [1, 0, 1, 0], "strides": [2, 1]}),
    ("FusedGemm", (5, 8), ["x", "matrix", "six"], {"activation": "Elu", "activation_alpha": 0.5}),
    ("FusedGemm", (5, 8), ["x", "turned"], {"activation": "Softplus", "transB": 1, "alpha": 0.5}),
    ("FusedMatMul", ROWS, ["x", "matrix"], {"alpha": 0.25}),
    ("FusedMatMul", ROWS, ["x", "turned"], {"transB": 1}),
    ("FusedMatMul", (2, 8, 5), ["x", "matrix"], {"transA": 1, "alpha": 2.0}),
    ("FusedMatMul", (5, 2, 8), ["x", "batches"], {"transBatchA": 1, "transBatchB": 1}),
    ("FusedMatMul", (8, 2, 5), ["x", "batches"], {"transBatchA": 1, "transA": 1, "transBatchB": 1}),
    ("TransposeMatMul", ROWS, ["x", "turned"], {"transB": 1}),
    ("Gelu", ROWS, ["x"], {}),
    ("BiasGelu", ROWS, ["x", "gamma"], {}),
    ("FastGelu", ROWS, ["x", "gamma"], {}),
    ("FastGelu", ROWS, ["x"], {}),
    ("QuickGelu", ROWS, ["x"], {}),
    ("QuickGelu", ROWS, ["x"], {"alpha": 1.0}),
    ("SimplifiedLayerNormalization", ROWS, ["x", "gamma"], {"axis": -1, "epsilon": 1e-3}),
    ("SkipLayerNormalization", ROWS, ["x", "skip", "gamma", "beta", "gamma"], {"epsilon": 1e-3}),
    ("SkipLayerNormalization", ROWS, ["x", "skip", "gamma"], {}),
    ("SkipSimplifiedLayerNormalization", ROWS, ["x", "skip", "gamma", "beta"], {}),
]


def model_of(
    op_type: str, shape: tuple[int, ...], inputs: list[str], attributes: Attributes, *outputs: str
) -> ModelProto:
    domain = "" if op_type.startswith("Simplified") else "com.microsoft"
    node = helper.make_node(op_type, inputs, ["y", *outputs], domain=domain, **attributes)
    graph = helper.make_graph(
        [node],
        "single",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in ("y", *outputs) if name],
        [numpy_helper.from_array(value, name) for name, value in CONSTANTS.items() if name in inputs],
    )
    sets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(graph, opset_imports=sets, ir_version=8)


def check(model: ModelProto, x: np.ndarray) -> None:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    wanted = session.run(None, {"x": x})
    found = evaluate(optimize(import_model(model)), {"x": x})
    for info, one in zip(model.graph.output, wanted, strict=True):
        np.testing.assert_allclose(found[info.name], one, atol=3e-6 * np.abs(one).max())


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case[0]} {case[3]}")
def test_results_are_onnxruntimes(case: tuple[str, tuple[int, ...], list[str], Attributes]) -> None:
    check(model_of(*case), normal(*case[1]))


@pytest.mark.parametrize("op_type", ["SkipLayerNormalization", "SkipSimplifiedLayerNormalization"])
def test_the_sum_that_is_normalised_is_an_output_too(op_type: str) -> None:
    check(model_of(op_type, ROWS, ["x", "skip", "gamma"], {}, "", "", "sum"), normal(*ROWS))


@pytest.mark.parametrize("places", ["", "order"])
def test_embeddings_are_added_and_normalised(places: str) -> None:
    inputs = ["x", "which", "words", "places", "segments", "gamma", "beta", *(["", places] if places else [])]
    model = model_of("EmbedLayerNormalization", (2, 5), inputs, {"epsilon": 1e-6}, "lengths")
    for info in (model.graph.input[0], model.graph.output[1]):
        info.type.tensor_type.elem_type = TensorProto.INT32
    check(model, np.arange(10, dtype=np.int32).reshape(2, 5))


def test_a_layer_normalisation_may_stand_in_an_older_operator_set() -> None:
    """So onnxruntime's optimiser writes it into any model."""
    model = model_of("Gelu", ROWS, ["x"], {})
    del model.graph.node[:]
    model.graph.node.append(
        helper.make_node("LayerNormalization", ["x", "gamma", "beta"], ["y"], epsilon=1e-3)
    )
    model.graph.initializer.extend(
        numpy_helper.from_array(CONSTANTS[name], name) for name in ("gamma", "beta")
    )
    model.opset_import[0].version = 13
    check(model, normal(*ROWS))


def test_what_training_reads_is_refused() -> None:
    with pytest.raises(UnsupportedOperatorError, match="its mean or deviation is read"):
        import_model(model_of("SkipLayerNormalization", ROWS, ["x", "skip", "gamma"], {}, "mean"))
    with pytest.raises(UnsupportedOperatorError, match="its second output is read"):
        import_model(model_of("SimplifiedLayerNormalization", ROWS, ["x", "gamma"], {}, "deviation"))


def test_an_unknown_activation_is_told() -> None:
    with pytest.raises(UnsupportedOperatorError, match="its activation is 'Sine'"):
        import_model(model_of("FusedConv", IMAGE, ["x", "w"], {"activation": "Sine"}))
