"""OpenVINO's CPU device."""

from __future__ import annotations

from typing import Any

import openvino


class Engine:
    """One stream for latency; float32 is said, as the device takes bfloat16 where the CPU has it."""

    def __init__(self, model: str, value: Any, threads: int) -> None:
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
        self._value = value  # the tensor only points to its memory
        self._request.set_input_tensor(openvino.Tensor(self._value, shared_memory=True))

    def run(self) -> None:
        """One inference."""
        self._request.infer()

    def output(self) -> Any:
        """The last result."""
        return self._request.get_output_tensor(0).data.copy()
