"""MNN on the CPU."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import MNN
import numpy as np


class Engine:
    """Arithmetic in float32 (`high`): MNN would take shorter numbers where the CPU has them."""

    def __init__(self, model: str, inputs: Mapping[str, Any], threads: int) -> None:
        self._interpreter = MNN.Interpreter(model)
        self._session = self._interpreter.createSession(
            {"backend": "CPU", "numThread": threads, "precision": "high"}
        )
        wanted = self._interpreter.getSessionInputAll(self._session)
        if set(wanted) != set(inputs):
            raise ValueError(f"the converted network wants {sorted(wanted)}, not {sorted(inputs)}")
        self._held = [
            np.ascontiguousarray(value, dtype=np.float32 if value.dtype.kind == "f" else np.int32)
            for value in inputs.values()
        ]
        self._inputs = [(wanted[name], _view(held)) for name, held in zip(inputs, self._held, strict=True)]

    def run(self) -> None:
        """One inference; activations are laid over the inputs, which are given anew each time."""
        for place, view in self._inputs:
            place.copyFrom(view)
        self._interpreter.runSession(self._session)

    def outputs(self) -> Any:
        """The last results, out of MNN's own order of channels."""
        results = []
        for result in self._interpreter.getSessionOutputAll(self._session).values():
            held = np.empty(result.getShape(), dtype=result.getNumpyData().dtype)
            view = _view(held)
            result.copyToHostTensor(view)
            results.append(np.array(view.getNumpyData()))
        return results


def _view(held: Any) -> Any:
    """A tensor in the memory of an array, which must outlive it."""
    kind = MNN.Halide_Type_Float if held.dtype.kind == "f" else MNN.Halide_Type_Int
    return MNN.Tensor(held.shape, kind, held, MNN.Tensor_DimensionType_Caffe)
