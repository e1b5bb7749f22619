"""Attention of onnxruntime's own operator set gives what onnxruntime gives."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime
import pytest
from onnx import ModelProto, helper, numpy_helper

from codegen.errors import UnsupportedOperatorError
from codegen.onnx_import.reader import import_model
from codegen.passes import optimize
from codegen.reference import evaluate
from tests.codegen.onnx_cases import normal

CONSTANTS: dict[str, np.ndarray] = {
    "w": normal(8, 24),
    "b": normal(24),
    "narrow": normal(8, 20),
    "narrow_b": normal(20),
    "keys_mask": np.array([[1, 1, 0, 1, 1], [1, 1, 1, 0, 0]], np.int32),
    "rows_mask": np.tril(np.ones((2, 5, 5), np.int32)),
    "lengths": np.array([3, 5], np.int32),
    "all": np.array([[1, 1, 1, 0, 1, 1, 1], [1] * 7], np.int32),
    "past": normal(2, 2, 2, 2, 4),
    "past_k": normal(2, 2, 2, 4),
    "past_v": normal(2, 2, 2, 4) * 2,
    "scores": normal(2, 2, 5, 5),
    "k": normal(2, 7, 8),
    "v": normal(2, 7, 8) * 2,
    "k_heads": normal(2, 2, 7, 4),
    "v_heads": normal(2, 2, 7, 4) * 2,
}
CASES: dict[str, tuple[str, list[str], dict[str, Any], int]] = {
    "plain": ("Attention", ["x", "w", "b"], {}, 1),
    "causal": ("Attention", ["x", "w", "b"], {"unidirectional": 1}, 1),
    "keys masked": ("Attention", ["x", "w", "b", "keys_mask"], {"mask_filter_value": -3.0}, 1),
    "rows masked": ("Attention", ["x", "w", "b", "rows_mask"], {}, 1),
    "lengths": ("Attention", ["x", "w", "b", "lengths"], {}, 1),
    "scaled": ("Attention", ["x", "w", "b", "", "", "scores"], {"scale": 0.3}, 1),
    "narrow values": ("Attention", ["x", "narrow", "narrow_b"], {"qkv_hidden_sizes": [8, 8, 4]}, 1),
    "with a past": ("Attention", ["x", "w", "b", "all", "past"], {"unidirectional": 1}, 2),
    "own rows": ("MultiHeadAttention", ["x", "x", "x", "b"], {}, 1),
    "other rows": ("MultiHeadAttention", ["x", "k", "v", "", "all"], {"scale": 0.2}, 1),
    "heads of others": ("MultiHeadAttention", ["x", "k_heads", "v_heads"], {}, 1),
    "biased scores": ("MultiHeadAttention", ["x", "x", "x", "", "", "scores"], {"unidirectional": 1}, 1),
    "more rows": ("MultiHeadAttention", ["x", "x", "x", "b", "", "", "past_k", "past_v"], {}, 3),
}


def model_of(op_type: str, inputs: list[str], attributes: dict[str, Any], count: int) -> ModelProto:
    outputs = ["y", "present", "second"][:count]
    node = helper.make_node(op_type, inputs, outputs, domain="com.microsoft", num_heads=2, **attributes)
    graph = helper.make_graph(
        [node],
        "single",
        [helper.make_tensor_value_info("x", 1, (2, 5, 8))],
        [helper.make_tensor_value_info(name, 1, None) for name in outputs],
        [numpy_helper.from_array(value, name) for name, value in CONSTANTS.items() if name in inputs],
    )
    sets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(graph, opset_imports=sets, ir_version=8)


@pytest.mark.parametrize("case", CASES)
def test_results_are_onnxruntimes(case: str) -> None:
    model, x = model_of(*CASES[case]), normal(2, 5, 8)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    found = evaluate(optimize(import_model(model)), {"x": x})
    for info, wanted in zip(model.graph.output, session.run(None, {"x": x}), strict=True):
        assert found[info.name].shape == wanted.shape
        np.testing.assert_allclose(found[info.name], wanted, atol=1e-5 * np.abs(wanted).max())


@pytest.mark.parametrize(
    ("inputs", "attributes", "reason"),
    [
        (["x", "w", "b"], {"do_rotary": 1}, "it rotates"),
        (["x", "w", "b", "scores"], {}, "its mask has the shape"),
    ],
)
def test_what_is_not_taken_is_told(inputs: list[str], attributes: dict[str, Any], reason: str) -> None:
    with pytest.raises(UnsupportedOperatorError, match=reason):
        import_model(model_of("Attention", inputs, attributes, 1))


def test_packed_rows_are_refused() -> None:
    with pytest.raises(UnsupportedOperatorError, match="packed"):
        import_model(model_of("MultiHeadAttention", ["x"], {}, 1))
