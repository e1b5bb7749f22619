"""The hash of what a model says: blind to how the file says it, and to nothing else."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper

from codegen.onnx_import.content import model_sha256

SHAPES = {"x": (1, 2, 4, 4)}
WEIGHTS = np.arange(6, dtype=np.float32).reshape(3, 2, 1, 1)


def small_model() -> ModelProto:
    nodes = [
        helper.make_node("Conv", ["x", "w", "b"], ["c"], "conv", kernel_shape=[1, 1], strides=[1, 1]),
        helper.make_node("LeakyRelu", ["c"], ["y"], "leaky", alpha=0.25),
    ]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in "xy"]
    constants = [numpy_helper.from_array(WEIGHTS, "w"), numpy_helper.from_array(WEIGHTS[:, 0, 0, 0], "b")]
    return helper.make_model(helper.make_graph(nodes, "net", ends[:1], ends[1:], constants))


def content(model: ModelProto, directory: Path = Path()) -> str:
    return model_sha256(model, directory, SHAPES)


def as_typed_field(model: ModelProto) -> None:
    model.graph.initializer[0].CopyFrom(
        helper.make_tensor("w", TensorProto.FLOAT, WEIGHTS.shape, WEIGHTS.flatten().tolist())
    )


SAME: dict[str, Callable[[ModelProto], object]] = {
    "typed field": as_typed_field,
    "producer": lambda model: setattr(model, "producer_name", "another exporter"),
    "documentation": lambda model: setattr(model.graph.node[0], "doc_string", "text"),
    "order of constants": lambda model: model.graph.initializer.reverse(),
    "order of attributes": lambda model: model.graph.node[0].attribute.reverse(),
    "types that can be derived": lambda model: model.graph.value_info.append(
        helper.make_tensor_value_info("c", TensorProto.FLOAT, (1, 3, 4, 4))
    ),
}
OTHER: dict[str, Callable[[ModelProto], object]] = {
    "weight": lambda model: model.graph.initializer[0].CopyFrom(numpy_helper.from_array(WEIGHTS + 1, "w")),
    "element type": lambda model: model.graph.initializer[0].CopyFrom(
        numpy_helper.from_array(WEIGHTS.view(np.int32), "w")
    ),
    "attribute": lambda model: setattr(model.graph.node[1].attribute[0], "f", 0.5),
    "operator": lambda model: setattr(model.graph.node[1], "op_type", "Elu"),
    "order of inputs": lambda model: model.graph.node[0].input.reverse(),
    "operator set": lambda model: setattr(model.opset_import[0], "version", 11),
}


@pytest.mark.parametrize("change", SAME.values(), ids=SAME)
def test_what_changes_nothing_keeps_the_hash(change: Callable[[ModelProto], object]) -> None:
    changed = small_model()
    change(changed)
    assert changed.SerializeToString(deterministic=True) != small_model().SerializeToString(
        deterministic=True
    )
    assert content(changed) == content(small_model())


@pytest.mark.parametrize("change", OTHER.values(), ids=OTHER)
def test_what_changes_the_model_changes_the_hash(change: Callable[[ModelProto], object]) -> None:
    changed = small_model()
    change(changed)
    assert content(changed) != content(small_model())


def test_shapes_that_inputs_were_given_count() -> None:
    assert model_sha256(small_model(), Path(), {"x": (2, 2, 4, 4)}) != content(small_model())


def test_weights_beside_the_file_count_as_those_within(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    onnx.save_model(
        small_model(), str(path), save_as_external_data=True, location="weights.bin", size_threshold=0
    )
    outside = onnx.load_model(str(path), load_external_data=False)
    assert outside.graph.initializer[0].data_location == TensorProto.EXTERNAL
    assert content(outside, tmp_path) == content(small_model())
