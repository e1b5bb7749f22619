"""ONNX Runtime on the CPU."""

from __future__ import annotations

from typing import Any

import onnxruntime as ort


class Engine:
    """All graph optimisations; `threads` within an operator, operators one after another."""

    def __init__(self, model: str, inputs: Any, threads: int) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
        self._session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        self._feed = inputs
        self._result: list[Any] = []

    def run(self) -> None:
        """One inference."""
        self._result = self._session.run(None, self._feed)

    def outputs(self) -> Any:
        """The last results."""
        return self._result
