"""Rotations and grouped attention of onnxruntime's own operator set give what onnxruntime gives."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper

from codegen.errors import ModelError, UnsupportedOperatorError
from codegen.onnx_import.reader import import_model
from codegen.passes import optimize
from codegen.reference import evaluate
from tests.codegen.onnx_cases import normal

ANGLES = np.arange(12)[:, None] / 3.0 ** np.arange(16)[None]
CONSTANTS: dict[str, np.ndarray] = {
    "cos": np.cos(ANGLES[:, :8]).astype(np.float32),
    "sin": np.sin(ANGLES[:, :8]).astype(np.float32),
    "cos_part": np.cos(ANGLES[:, :4]).astype(np.float32),
    "sin_part": np.sin(ANGLES[:, :4]).astype(np.float32),
    "offset": np.array([3], np.int64),
    "places": np.array([[0, 1, 2, 3, 4], [4, 2, 5, 0, 11]], np.int64),
    "past_k": normal(2, 2, 3, 16),
    "past_v": normal(2, 2, 3, 16) * 2,
    "room_k": normal(2, 2, 8, 16),
    "room_v": normal(2, 2, 8, 16),
    "bias": normal(2, 4, 5, 5),
    "four": np.array(4, np.int32),
    "five": np.array(5, np.int32),
}
GROUPED = ["x", "k", "v"]
PROMPT = [*GROUPED, "", "", "ends", "five"]
FULL, PADDED = (4, 4), (4, 2)
CASES: dict[str, tuple[list[str], dict[str, Any], tuple[int, int]]] = {
    "prompt": (PROMPT, {}, FULL),
    "padded prompt": (PROMPT, {}, PADDED),
    "packed prompt": (["qkv", "", "", "", "", "ends", "five"], {}, FULL),
    "rotated prompt": ([*PROMPT, "cos", "sin"], {"do_rotary": 1}, FULL),
    "padded and rotated": ([*PROMPT, "cos", "sin"], {"do_rotary": 1, "rotary_interleaved": 1}, PADDED),
    "a part rotated": ([*PROMPT, "cos", "sin"], {"do_rotary": 1, "num_heads": 2, "kv_num_heads": 1}, FULL),
    "with room": ([*GROUPED, "room_k", "room_v", "ends", "five"], {}, PADDED),
    "window": (PROMPT, {"local_window_size": 2}, FULL),
    "soft": (PROMPT, {"softcap": 1.5, "scale": 0.7}, FULL),
    "biased": ([*PROMPT, "", "", "", "bias"], {}, FULL),
}
STEP = ["step_q", "step_k", "step_v", "past_k", "past_v", "ends", "four"]
STEPS: dict[str, tuple[list[str], dict[str, Any], tuple[int, int]]] = {
    "a row more": (STEP, {}, (3, 3)),
    "a row of shorter samples": (STEP, {}, (3, 1)),
    "a row where there is room": (
        ["step_q", "step_k", "step_v", "room_k", "room_v", "ends", "four"],
        {},
        (3, 2),
    ),
    "rotated": ([*STEP, "cos", "sin"], {"do_rotary": 1}, (3, 2)),
    "seen by a window": (STEP, {"local_window_size": 2}, (3, 3)),
}
INPUTS = {
    "x": (2, 5, 64),
    "k": (2, 5, 32),
    "v": (2, 5, 32),
    "qkv": (2, 5, 128),
    "step_q": (2, 1, 64),
    "step_k": (2, 1, 32),
    "step_v": (2, 1, 32),
}


def model_of(
    op_type: str, inputs: list[str], attributes: dict[str, Any], outputs: int, **shapes: tuple[int, ...]
) -> ModelProto:
    names = ["y", "present_k", "present_v"][:outputs]
    node = helper.make_node(op_type, inputs, names, domain="com.microsoft", **attributes)
    given = [helper.make_tensor_value_info(name, 1, INPUTS[name]) for name in inputs if name in INPUTS]
    given += [helper.make_tensor_value_info(name, 1, shape) for name, shape in shapes.items()]
    if "ends" in inputs:
        given.append(helper.make_tensor_value_info("ends", TensorProto.INT32, (2,)))
    graph = helper.make_graph(
        [node],
        "single",
        given,
        [helper.make_tensor_value_info(name, 1, None) for name in names],
        [numpy_helper.from_array(value, name) for name, value in CONSTANTS.items() if name in inputs],
    )
    sets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(graph, opset_imports=sets, ir_version=8)


def assert_equal(model: ModelProto, inputs: dict[str, np.ndarray], lengths: tuple[int, ...] = ()) -> None:
    """All outputs; of keys and values that are carried, so much of each sample's."""
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    found = evaluate(optimize(import_model(model)), inputs)
    for info, wanted in zip(model.graph.output, session.run(None, inputs), strict=True):
        mine = found[info.name]
        assert mine.shape == wanted.shape
        for index in range(2):
            own = slice(None, lengths[index]) if lengths and info.name != "y" else slice(None)
            theirs = wanted[index, :, own] if lengths and info.name != "y" else wanted[index]
            ours = mine[index, :, own] if lengths and info.name != "y" else mine[index]
            np.testing.assert_allclose(ours, theirs, atol=1e-5 * np.abs(theirs).max())


@pytest.mark.parametrize("case", CASES)
def test_prompts(case: str) -> None:
    inputs, attributes, ends = CASES[case]
    model = model_of("GroupQueryAttention", inputs, {"num_heads": 4, "kv_num_heads": 2, **attributes}, 3)
    values = {name: normal(*shape) for name, shape in INPUTS.items() if name in inputs}
    assert_equal(model, {**values, "ends": np.array(ends, np.int32)}, tuple(end + 1 for end in ends))


@pytest.mark.parametrize("case", STEPS)
def test_rows_behind_a_past(case: str) -> None:
    inputs, attributes, ends = STEPS[case]
    model = model_of("GroupQueryAttention", inputs, {"num_heads": 4, "kv_num_heads": 2, **attributes}, 3)
    values = {name: normal(*shape) for name, shape in INPUTS.items() if name in inputs}
    assert_equal(model, {**values, "ends": np.array(ends, np.int32)}, tuple(end + 1 for end in ends))


@pytest.mark.parametrize(
    ("inputs", "attributes", "shape"),
    [
        (["r", "places", "cos", "sin"], {}, (2, 5, 64)),
        (["r", "offset", "cos", "sin"], {"interleaved": 1}, (2, 5, 64)),
        (["r", "places", "cos", "sin"], {}, (2, 3, 5, 16)),
        (["r", "offset", "cos_part", "sin_part"], {"num_heads": 4, "rotary_embedding_dim": 8}, (2, 5, 64)),
    ],
)
def test_rotations(inputs: list[str], attributes: dict[str, Any], shape: tuple[int, ...]) -> None:
    model = model_of("RotaryEmbedding", inputs, attributes, 1, r=shape)
    assert_equal(model, {"r": normal(*shape)})


@pytest.mark.parametrize(
    ("inputs", "attributes", "reason"),
    [
        (PROMPT, {"smooth_softmax": 1}, "places of rows"),
        ([*PROMPT, "cos", "sin", "places"], {"do_rotary": 1}, "places of rows"),
        (PROMPT, {"k_quant_type": "PER_TENSOR"}, "integers in its caches"),
    ],
)
def test_what_is_declined(inputs: list[str], attributes: dict[str, Any], reason: str) -> None:
    model = model_of("GroupQueryAttention", inputs, {"num_heads": 4, "kv_num_heads": 2, **attributes}, 1)
    with pytest.raises(UnsupportedOperatorError, match=reason):
        import_model(model)


def test_a_length_that_is_none_is_malformed() -> None:
    inputs = [*GROUPED, "", "", "ends", "places"]
    model = model_of("GroupQueryAttention", inputs, {"num_heads": 4, "kv_num_heads": 2}, 1)
    with pytest.raises(ModelError, match=r"total sequence length has the shape \(2, 5\)"):
        import_model(model)


def test_heads_that_do_not_share_evenly_are_malformed() -> None:
    model = model_of("GroupQueryAttention", PROMPT, {"num_heads": 4, "kv_num_heads": 3}, 1)
    with pytest.raises(ModelError, match="4 heads of queries for 3 of keys"):
        import_model(model)
