"""OpenVINO's CPU device."""

from __future__ import annotations

from typing import Any

import openvino


class Engine:
    """One stream for latency; float32 is said, as the device takes bfloat16 where the CPU has it."""

    def __init__(self, model: str, inputs: Any, threads: int) -> None:
        core = openvino.Core()
        compiled = core.compile_model(
            core.read_model(model),
            "CPU",
            {
                "PERFORMANCE_HINT": "LATENCY",
                "INFERENCE_PRECISION_HINT": "f32",
                "INFERENCE_NUM_THREADS": threads,
                "NUM_STREAMS": 1,
            },
        )
        self._request = compiled.create_infer_request()
        self._inputs = inputs  # tensors only point to their memory
        for name, value in inputs.items():
            self._request.set_tensor(name, openvino.Tensor(value, shared_memory=True))

    def run(self) -> None:
        """One inference."""
        self._request.infer()

    def outputs(self) -> Any:
        """The last results."""
        return [tensor.data.copy() for tensor in self._request.output_tensors]
