"""Small networks of several kinds as wholes, against onnxruntime: what single operators do not show together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, helper, numpy_helper

from explorer.backend import CompilerBackend

FLAGS = ("-O1", "-march=native")
ALLOWED = 1e-5  # of the spread of an output
Values = dict[str, NDArray[Any]]


class Network:
    """Nodes that are added one by one, and the constants that they read."""

    def __init__(self, seed: int) -> None:
        self.random = np.random.default_rng(seed)
        self.nodes: list[NodeProto] = []
        self.constants: Values = {}

    def __call__(self, kind: str, *sources: str, outputs: int = 1, **attributes: Any) -> Any:
        names = [f"{kind}{len(self.nodes)}_{i}" for i in range(outputs)]
        self.nodes.append(helper.make_node(kind, sources, names, **attributes))
        return names[0] if outputs == 1 else names

    def constant(self, value: object, dtype: str = "float32") -> str:
        name = f"constant{len(self.constants)}"
        self.constants[name] = np.asarray(value, dtype)
        return name

    def weights(self, *shape: int) -> str:
        fan = np.prod(shape[1:]) if len(shape) > 1 else 25
        return self.constant(self.random.standard_normal(shape) / np.sqrt(fan))

    def integers(self, *values: int) -> str:
        return self.constant(values, "int64")

    def model(self, inputs: Values, outputs: Sequence[str]) -> ModelProto:
        kinds = {name: helper.np_dtype_to_tensor_dtype(value.dtype) for name, value in inputs.items()}
        graph = helper.make_graph(
            self.nodes,
            "network",
            [helper.make_tensor_value_info(name, kinds[name], inputs[name].shape) for name in inputs],
            [helper.make_empty_tensor_value_info(name) for name in outputs],
            [numpy_helper.from_array(value, name) for name, value in self.constants.items()],
        )
        sets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
        return helper.make_model(graph, opset_imports=sets, ir_version=8)


def twin_towers() -> tuple[ModelProto, Values]:
    """Two pictures through towers of the same weights, their difference and their correlation."""
    net = Network(1)
    inputs = {
        side: net.random.standard_normal((1, 3, 20, 20)).astype(np.float32) for side in ("left", "right")
    }
    first, second, wide = net.weights(16, 3, 3, 3), net.weights(32, 16, 3, 3), net.weights(32, 1, 5, 5)

    def tower(x: str) -> tuple[str, str]:
        x = net("Relu", net("Conv", x, first, pads=[1] * 4, strides=[2, 2]))
        x = net("HardSwish", net("Conv", x, second, pads=[1] * 4))
        x = net("Add", x, net("Conv", x, wide, pads=[2] * 4, group=32))
        pooled = net("Concat", net("GlobalAveragePool", x), net("GlobalMaxPool", x), axis=1)
        return net("Flatten", pooled), net("Reshape", x, net.integers(0, 0, -1))

    (left, left_map), (right, right_map) = tower("left"), tower("right")
    both = net("Concat", net("Abs", net("Sub", left, right)), net("Mul", left, right), axis=1)
    scores = net("Gemm", both, net.weights(128, 10))
    correlation = net("MatMul", net("Transpose", left_map, perm=[0, 2, 1]), right_map)
    best = net("ReduceMax", net("Softmax", correlation, axis=-1), axes=[1], keepdims=0)
    return net.model(inputs, (net("Softmax", scores, axis=1), best)), inputs


def speech() -> tuple[ModelProto, Values]:
    """From samples to symbols: spectra on a mel scale, causal dilated convolutions, gates, pools of one axis."""
    net = Network(2)
    inputs = {"wave": net.random.standard_normal((1, 2000)).astype(np.float32)}
    frame = net.constant(128, "int64")
    spectra = net("STFT", "wave", net.constant(64, "int64"), net("HannWindow", frame), frame)
    power = net("ReduceSumSquare", spectra, axes=[3], keepdims=0)
    edges = net.constant(20), net.constant(8000)
    scale = net("MelWeightMatrix", net.constant(20, "int64"), frame, net.constant(16000, "int64"), *edges)
    features = net("Log", net("Add", net("MatMul", power, scale), net.constant(1e-3)))
    x = net(
        "Conv", net("Transpose", features, perm=[0, 2, 1]), net.weights(24, 20, 5), dilations=[2], pads=[8, 0]
    )
    x = net("PRelu", x, net.constant(np.full((24, 1), 0.2)))
    x = net("Conv", x, net.weights(24, 1, 7), group=24, pads=[3, 3])
    x = net("Mul", net("Sigmoid", net("Conv", x, net.weights(24, 24, 1))), net("Tanh", x))
    x = net("MaxPool", x, kernel_shape=[3], strides=[2], ceil_mode=1)
    x = net("Conv", net("LpPool", x, kernel_shape=[2], p=2), net.weights(12, 24, 1))
    symbols = net("LogSoftmax", net("Transpose", x, perm=[2, 0, 1]), axis=2)
    return net.model(inputs, (symbols, net("ArgMax", symbols, axis=2, keepdims=0))), inputs


def attending_recurrence() -> tuple[ModelProto, Values]:
    """Three sequences of their own lengths: both directions, then attention over what each has."""
    net, hidden = Network(3), 8
    inputs: Values = {
        "x": net.random.standard_normal((9, 3, 6)).astype(np.float32),
        "lengths": np.array([9, 2, 5], np.int32),
    }
    gates = net.weights(2, 3 * hidden, 6), net.weights(2, 3 * hidden, hidden), net.weights(2, 6 * hidden)
    states, last = net(
        "GRU", "x", *gates, "lengths", outputs=2, hidden_size=hidden, direction="bidirectional",
        linear_before_reset=1,
    )  # fmt: skip
    states = net("Reshape", net("Transpose", states, perm=[2, 0, 1, 3]), net.integers(3, 9, 2 * hidden))
    places = net.constant(np.arange(9)[None], "int32")
    has = net("Unsqueeze", net("Less", places, net("Unsqueeze", "lengths", net.integers(1))), net.integers(2))
    scores = net("Where", has, net("MatMul", states, net.weights(2 * hidden, 1)), net.constant(-1e9))
    shares = net("Softmax", scores, axis=1)
    context = net("ReduceSum", net("Mul", shares, states), net.integers(1), keepdims=0)
    return net.model(inputs, (context, last)), inputs


def language() -> tuple[ModelProto, Values]:
    """A token more of a language model as onnxruntime exports it: rotated, grouped attention over what is carried."""
    net, width, past = Network(4), 64, (1, 2, 7, 16)
    inputs: Values = {
        "token": np.array([[11]]),
        "mask": np.ones((1, 8), np.int64),
        "keys": net.random.standard_normal(past).astype(np.float32),
        "values": net.random.standard_normal(past).astype(np.float32),
    }
    ends = net("Sub", net("ReduceSum", "mask", net.integers(1), keepdims=0), net.integers(1))
    total = net("Gather", net("Shape", "mask"), net.constant(1, "int64"), axis=0)
    lengths = [net("Cast", one, to=6) for one in (ends, total)]
    angles = np.arange(32)[:, None] / 100.0 ** (np.arange(8)[None] / 8)
    caches = net.constant(np.cos(angles)), net.constant(np.sin(angles))
    embedded, scale = net("Gather", net.weights(40, width), "token", axis=0), net.constant(np.ones(width))
    x = net("SimplifiedLayerNormalization", embedded, scale, axis=-1, epsilon=1e-6)
    packed = net("MatMul", x, net.weights(width, 128))
    attended, keys, values = net(
        "GroupQueryAttention", packed, "", "", "keys", "values", *lengths, *caches, outputs=3,
        domain="com.microsoft", num_heads=4, kv_num_heads=2, do_rotary=1,
    )  # fmt: skip
    projected = net("MatMul", attended, net.weights(width, width))
    kept = net("Add", embedded, projected)
    x = net(
        "SkipSimplifiedLayerNormalization", embedded, projected, scale, domain="com.microsoft", epsilon=1e-6
    )
    gate, up = (net("MatMul", x, net.weights(width, 96)) for _ in range(2))
    gated = net("Mul", net("Mul", gate, net("Sigmoid", gate)), up)
    scores = net(
        "MatMul", net("Add", kept, net("MatMul", gated, net.weights(96, width))), net.weights(width, 40)
    )
    return net.model(inputs, (scores, keys, values)), inputs


@pytest.mark.parametrize(
    "network", [twin_towers, speech, attending_recurrence, language], ids=lambda one: one.__name__
)
def test_it_gives_what_onnxruntime_gives(network: Any) -> None:
    model, inputs = network()
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    expected = session.run(None, inputs)
    results = list(CompilerBackend.prepare(model, flags=FLAGS).run(list(inputs.values())))
    assert len(results) == len(expected)
    for result, wanted in zip(results, expected, strict=True):
        assert result.shape == wanted.shape and result.dtype == wanted.dtype
        spread = max(float(np.std(wanted)), 1e-6)
        assert float(np.abs(result.astype(float) - wanted).max()) <= ALLOWED * spread
