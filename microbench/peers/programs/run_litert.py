"""LiteRT with its XNNPACK delegate, which it takes by itself for float32."""

from __future__ import annotations

from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter


class Engine:
    """Images are NHWC here: the input is brought into that order beforehand, outside the times."""

    def __init__(self, model: str, value: Any, threads: int) -> None:
        self._interpreter = Interpreter(model_path=model, num_threads=threads)
        self._interpreter.allocate_tensors()
        wanted = self._interpreter.get_input_details()[0]
        if value.ndim == 4 and tuple(wanted["shape"]) != value.shape:
            value = np.ascontiguousarray(value.transpose(0, 2, 3, 1))
        self._interpreter.set_tensor(wanted["index"], value)
        self._output = self._interpreter.get_output_details()[0]["index"]

    def run(self) -> None:
        """One inference."""
        self._interpreter.invoke()

    def output(self) -> Any:
        """The last result."""
        result = self._interpreter.get_tensor(self._output)
        return result.transpose(0, 3, 1, 2) if result.ndim == 4 else result
