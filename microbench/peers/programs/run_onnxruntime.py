"""ONNX Runtime on the CPU."""

from __future__ import annotations

from typing import Any

import onnxruntime as ort


class Engine:
    """All graph optimisations; `threads` within an operator, operators one after another."""

    def __init__(self, model: str, value: Any, threads: int) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
        self._session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        self._feed = {self._session.get_inputs()[0].name: value}
        self._result: list[Any] = []

    def run(self) -> None:
        """One inference."""
        self._result = self._session.run(None, self._feed)

    def output(self) -> Any:
        """The last result."""
        return self._result[0]
