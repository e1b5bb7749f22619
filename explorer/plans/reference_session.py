"""onnxruntime on the original model, with the sizes that inputs were given in place of the file's own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from onnx import ModelProto, ValueInfoProto

from codegen.errors import ModelError
from codegen.graph import Graph
from codegen.onnx_import.model_file import read_model

_DATA_BESIDE = "session.model_external_initializers_file_folder_path"


def reference_session(model: Path, graph: Graph) -> Any:
    """A session of onnxruntime's; raises ModelError where it cannot load the model."""
    import onnxruntime
    from onnxruntime.capi import onnxruntime_pybind11_state as faults

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.add_session_config_entry(_DATA_BESIDE, str(model.parent))
    resized = _resized(read_model(model), graph)
    source = str(model) if resized is None else resized.SerializeToString()
    try:
        return onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
    except (faults.Fail, faults.InvalidGraph, faults.NotImplemented, faults.RuntimeException) as error:
        raise ModelError(f"{model}: onnxruntime cannot load it: {error}") from error


def _resized(model: ModelProto, graph: Graph) -> ModelProto | None:
    """The model with other sizes; None where it has the graph's. What it says of sizes within may not hold then."""
    changes = [_resize(info, graph) for info in model.graph.input if info.name in graph.inputs]
    if not any(changes):
        return None
    del model.graph.value_info[:]
    for info in model.graph.output:
        info.type.tensor_type.ClearField("shape")
    return model


def _resize(info: ValueInfoProto, graph: Graph) -> bool:
    """Whether a size that the file fixes became another."""
    dimensions = info.type.tensor_type.shape.dim
    found = False
    for dimension, size in zip(dimensions, graph.types[info.name].shape, strict=False):
        if dimension.HasField("dim_value") and dimension.dim_value != size:
            dimension.dim_value = size
            found = True
    return found
