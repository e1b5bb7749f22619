"""A network of four layers, small enough to be searched and compiled within a test."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

SIDE = 8


def write_tiny_model(
    path: Path, *, operator: str = "Relu", side: int | str = SIDE, channels: int = 8, seed: int = 0
) -> Path:
    """Convolution, an activation (of another operator set as `domain.Operator`), pointwise convolution, global pool,
    classifier of 5 classes.
    """
    domain, _, activation = operator.rpartition(".")
    random = np.random.default_rng(seed)

    def constant(name: str, *shape: int) -> TensorProto:
        values = random.standard_normal(shape, dtype=np.float32)
        return numpy_helper.from_array(values, name)

    weights = [
        constant("w1", channels, 3, 3, 3),
        constant("b1", channels),
        constant("w2", 16, channels, 1, 1),
        constant("b2", 16),
        constant("w3", 5, 16),
        constant("b3", 5),
    ]
    nodes = [
        helper.make_node("Conv", ["x", "w1", "b1"], ["c1"], "first", pads=[1, 1, 1, 1], strides=[2, 2]),
        helper.make_node(activation, ["c1"], ["r1"], "activation", domain=domain),
        helper.make_node("Conv", ["r1", "w2", "b2"], ["c2"], "second"),
        helper.make_node("GlobalAveragePool", ["c2"], ["p"], "pool"),
        helper.make_node("Flatten", ["p"], ["f"], "flat"),
        helper.make_node("Gemm", ["f", "w3", "b3"], ["y"], "classifier", transB=1),
    ]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, side, side])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 5])],
        weights,
    )
    sets = [helper.make_opsetid("", 13), *([helper.make_opsetid(domain, 1)] if domain else [])]
    model = helper.make_model(graph, opset_imports=sets, ir_version=8)
    onnx.save(model, str(path))
    return path
