"""Small quantised models, and their values by ONNX's reference implementation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from onnx import ModelProto, NodeProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

OPSET = 21


def model_of(
    nodes: Sequence[NodeProto],
    shape: tuple[int, ...],
    constants: Mapping[str, np.ndarray],
    dtype: str = "float32",
) -> ModelProto:
    """From an input `x` to an output `y`."""
    graph = helper.make_graph(
        list(nodes),
        "quantised",
        [helper.make_tensor_value_info("x", helper.np_dtype_to_tensor_dtype(np.dtype(dtype)), shape)],
        [helper.make_empty_tensor_value_info("y")],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=10)


def whole_numbers(shape: tuple[int, ...], dtype: str, seed: int = 3) -> np.ndarray:
    """Of all that the type has."""
    limits = np.iinfo(dtype)
    generator = np.random.default_rng(seed)
    return generator.integers(limits.min, limits.max, shape, dtype=dtype, endpoint=True)


def by_onnx(model: ModelProto, value: np.ndarray) -> Any:
    """The output by the reference implementation."""
    (result,) = ReferenceEvaluator(model).run(None, {"x": value})
    return result


def scale(*values: float) -> np.ndarray:
    return np.array(values[0] if len(values) == 1 else values, dtype=np.float32)
