"""Models of one node or a few, and their comparison with onnxruntime."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnxruntime
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from codegen.graph import Graph
from codegen.onnx_import.reader import import_model
from codegen.passes import optimize
from codegen.reference import evaluate

RUNTIME_NEWEST = 26  # the newest operator set that onnxruntime takes in full
OPSETS = (9, 11, 13, 17, RUNTIME_NEWEST)
IMAGE = (1, 6, 9, 7)


@dataclass(frozen=True)
class Case:
    """One node on an input `x`: further inputs are constants in order, None an absent one."""

    op: str
    shape: tuple[int, ...] = IMAGE
    constants: Sequence[np.ndarray | None] = ()
    attributes: Mapping[str, Any] = field(default_factory=dict)
    opsets: tuple[int, ...] = OPSETS
    swapped: bool = False  # the constant comes first

    def __str__(self) -> str:
        shown = ",".join(f"{key}={value}" for key, value in self.attributes.items())
        constants = ",".join("-" if c is None else str(list(c.shape)) for c in self.constants)
        return f"{self.op}({shown};{constants};{list(self.shape)})".replace(" ", "")


def normal(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype(np.float32)


def number(value: float | list[float]) -> np.ndarray:
    return np.array(value, dtype=np.float32)


def integers(*values: int) -> np.ndarray:
    return np.array(values, dtype=np.int64)


def model_of(
    nodes: Sequence[NodeProto], case_shape: tuple[int, ...], constants: Mapping[str, np.ndarray], opset: int
) -> ModelProto:
    graph = helper.make_graph(
        list(nodes),
        "single",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, case_shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def single(case: Case, opset: int) -> ModelProto:
    constants = {f"c{index}": value for index, value in enumerate(case.constants) if value is not None}
    names = [f"c{index}" if value is not None else "" for index, value in enumerate(case.constants)]
    inputs = [*names, "x"] if case.swapped else ["x", *names]
    return model_of(
        [helper.make_node(case.op, inputs, ["y"], **case.attributes)], case.shape, constants, opset
    )


def compare(model: ModelProto, shape: tuple[int, ...]) -> Graph:
    """Imported and fused graph give what onnxruntime gives; returns the fused graph."""
    value = np.random.default_rng(7).standard_normal(shape).astype(np.float32) * 2
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    wanted = session.run(None, {"x": value})[0]
    imported = import_model(model)
    fused = optimize(imported)
    for graph in (imported, fused):
        found = evaluate(graph, {"x": value})["y"]
        assert found.shape == wanted.shape
        np.testing.assert_allclose(found, wanted, atol=2e-6 * max(1.0, np.abs(wanted).max()), rtol=2e-6)
    return fused
