"""A detector of voices as they are exported: both sampling rates in one model, spectra, a state that goes on."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from onnx import GraphProto, helper, numpy_helper

from tests.explorer.test_lengths import Arrays, check, model_of

SAMPLES, HIDDEN, CHANNELS = 256, 8, 6
RATES = {"high": (16000, 64), "low": (8000, 32)}  # samples in a second, and in a frame


def constants() -> Arrays:
    random = np.random.default_rng(11)
    found: dict[str, np.ndarray] = {
        "rate_of_high": np.array(16000),
        "batch_and_samples": np.array([1, SAMPLES, 1]),
        "last": np.array([-1]),
    }
    for name, (_, frame) in RATES.items():
        bins = frame // 2 + 1
        shapes = {
            "kernel": (CHANNELS, bins, 3),
            "input_weights": (1, 4 * HIDDEN, CHANNELS),
            "state_weights": (1, 4 * HIDDEN, HIDDEN),
            "bias": (1, 8 * HIDDEN),
            "decoder": (1, HIDDEN, 1),
        }
        for what, shape in shapes.items():
            found[f"{name}_{what}"] = (0.3 * random.standard_normal(shape)).astype(np.float32)
        found[f"{name}_step"], found[f"{name}_frame"] = np.array(frame // 2), np.array(frame)
        found[f"{name}_window"] = np.hanning(frame).astype(np.float32)
    return found


def detector(rate: str) -> GraphProto:
    def own(name: str) -> str:
        return f"{rate}_{name}"

    nodes = [
        helper.make_node("STFT", ["signal", own("step"), own("window"), own("frame")], ["spectrum"]),
        helper.make_node("ReduceL2", ["spectrum", "last"], ["magnitude"], keepdims=0),
        helper.make_node("Transpose", ["magnitude"], ["features"], perm=[0, 2, 1]),
        helper.make_node("Conv", ["features", own("kernel")], ["convolved"], pads=[1, 1]),
        helper.make_node("Relu", ["convolved"], ["encoded"]),
        helper.make_node("Transpose", ["encoded"], ["sequence"], perm=[2, 0, 1]),
        helper.make_node(
            "LSTM",
            ["sequence", own("input_weights"), own("state_weights"), own("bias"), "", "h", "c"],
            ["", "last_h", "last_c"],
            hidden_size=HIDDEN,
        ),
        helper.make_node("MatMul", ["last_h", own("decoder")], ["score"]),
        helper.make_node("Sigmoid", ["score"], ["probability"]),
        helper.make_node("Concat", ["last_h", "last_c"], ["next_state"], axis=0),
    ]
    outputs = [helper.make_empty_tensor_value_info(name) for name in ("probability", "next_state")]
    return helper.make_graph(nodes, rate, [], outputs)


def inputs(rate: int, seed: int) -> Mapping[str, np.ndarray]:
    random = np.random.default_rng(seed)
    return {
        "x": random.standard_normal((1, SAMPLES)).astype(np.float32),
        "state": random.standard_normal((2, 1, HIDDEN)).astype(np.float32),
        "rate": np.array(rate),
    }


def test_it_hears_at_both_rates_what_onnxruntime_hears() -> None:
    nodes = [
        helper.make_node("Reshape", ["x", "batch_and_samples"], ["signal"]),
        helper.make_node("Constant", [], ["halves"], value=numpy_helper.from_array(np.array([1, 1]))),
        helper.make_node("Split", ["state", "halves"], ["h", "c"], axis=0),
        helper.make_node("Equal", ["rate", "rate_of_high"], ["is_high"]),
        helper.make_node(
            "If",
            ["is_high"],
            ["y", "next"],
            then_branch=detector("high"),
            else_branch=detector("low"),
        ),
    ]
    model = model_of(nodes, inputs(16000, 0), ["y", "next"], constants())
    given = [inputs(rate, seed) for seed, rate in enumerate((16000, 8000, 16000))]
    check(model, *given)
