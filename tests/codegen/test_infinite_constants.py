"""Values beyond numbers: masks of attention are padded with them."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from codegen.canonical import canonical_json
from codegen.graph import LayerSpec
from codegen.onnx_import.reader import import_model
from codegen.passes import optimize
from codegen.reference import evaluate


@pytest.mark.parametrize("value", [-np.inf, np.inf, np.nan])
def test_pad_with_a_value_beyond_numbers_in_the_type_of_a_computed_tensor(value: float) -> None:
    nodes = [
        helper.make_node("CastLike", ["v", "x"], ["f"]),
        helper.make_node("Pad", ["x", "p", "f"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "pad",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, (2, 3))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [
            numpy_helper.from_array(np.array(value, dtype=np.float64), "v"),
            numpy_helper.from_array(np.array([0, 1, 1, 0]), "p"),
        ],
    )
    fused = optimize(
        import_model(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8))
    )
    x = np.arange(6.0).reshape(2, 3)
    wanted = np.pad(x, [(0, 1), (1, 0)], constant_values=value)
    np.testing.assert_array_equal(evaluate(fused, {"x": x})["y"], wanted)
    for node in fused.nodes:
        canonical_json(LayerSpec.of(fused, node))
