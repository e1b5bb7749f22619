"""The LSTM of onnxruntime's dynamic quantiser gives what onnxruntime gives."""

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
from tests.codegen.quantized_models import whole_numbers

STEPS, WIDTH, HIDDEN = 6, 5, 4
OUTPUTS = ["y", "state", "cell"]


def model_of(direction: str, per_column: bool, kind: str, given: str, **attributes: Any) -> ModelProto:
    count = 2 if direction == "bidirectional" else 1
    scales = (count, 4 * HIDDEN) if per_column else (count,)
    random = np.random.default_rng(3)
    constants = {
        "w": whole_numbers((count, WIDTH, 4 * HIDDEN), kind),
        "r": whole_numbers((count, HIDDEN, 4 * HIDDEN), kind, seed=4),
        "b": normal(count, 8 * HIDDEN),
        "h": normal(count, 1, HIDDEN),
        "c": normal(count, 1, HIDDEN),
        "ws": random.uniform(0.002, 0.006, scales).astype(np.float32),
        "rs": random.uniform(0.002, 0.006, scales).astype(np.float32),
        "z": np.full(scales, 0 if kind == "int8" else 128, kind),
    }
    state = ["b", "", "h", "c"] if given == "all" else ["", "", "", ""]
    names = ["x", "w", "r", *state, "", "ws", "z", "rs", "z"]
    node = helper.make_node(
        "DynamicQuantizeLSTM",
        names,
        OUTPUTS,
        domain="com.microsoft",
        hidden_size=HIDDEN,
        direction=direction,
        **attributes,
    )
    graph = helper.make_graph(
        [node],
        "single",
        [helper.make_tensor_value_info("x", 1, (STEPS, 1, WIDTH))],
        [helper.make_tensor_value_info(name, 1, None) for name in OUTPUTS],
        [numpy_helper.from_array(value, name) for name, value in constants.items() if name in names],
    )
    sets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(graph, opset_imports=sets, ir_version=8)


@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
@pytest.mark.parametrize(
    ("per_column", "kind", "given"), [(False, "int8", "all"), (True, "int8", "none"), (False, "uint8", "all")]
)
def test_results_are_onnxruntimes(direction: str, per_column: bool, kind: str, given: str) -> None:
    model, x = model_of(direction, per_column, kind, given), normal(STEPS, 1, WIDTH)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    found = evaluate(optimize(import_model(model)), {"x": x})
    for name, wanted in zip(OUTPUTS, session.run(None, {"x": x}), strict=True):
        np.testing.assert_allclose(found[name], wanted, atol=2e-6)


def test_a_clip_is_refused() -> None:
    with pytest.raises(UnsupportedOperatorError, match="a clip"):
        import_model(model_of("forward", False, "int8", "all", clip=1.0))
