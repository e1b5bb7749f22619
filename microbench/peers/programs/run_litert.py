"""LiteRT with its XNNPACK delegate, which it takes by itself for float32."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter


class Engine:
    """Images are NHWC here: inputs are brought into that order beforehand, outside the times."""

    def __init__(self, model: str, inputs: Mapping[str, Any], threads: int) -> None:
        self._interpreter = Interpreter(model_path=model, num_threads=threads)
        self._interpreter.allocate_tensors()
        wanted = self._interpreter.get_input_details()
        for name, value in inputs.items():
            self._give(_of_name(wanted, name), value)
        self._outputs = [one["index"] for one in self._interpreter.get_output_details()]

    def run(self) -> None:
        """One inference."""
        self._interpreter.invoke()

    def outputs(self) -> Any:
        """The last results."""
        results = [self._interpreter.get_tensor(index) for index in self._outputs]
        return [result.transpose(0, 3, 1, 2) if result.ndim == 4 else result for result in results]

    def _give(self, wanted: Mapping[str, Any], value: Any) -> None:
        if value.ndim == 4 and tuple(wanted["shape"]) != value.shape:
            value = np.ascontiguousarray(value.transpose(0, 2, 3, 1))
        self._interpreter.set_tensor(wanted["index"], value)


def _of_name(wanted: Sequence[Mapping[str, Any]], name: str) -> Mapping[str, Any]:
    """The converter writes names around those of the model."""
    found = wanted if len(wanted) == 1 else [one for one in wanted if name in one["name"]]
    if len(found) != 1:
        raise ValueError(f"input {name!r} has {len(found)} places among {[one['name'] for one in wanted]}")
    return found[0]
