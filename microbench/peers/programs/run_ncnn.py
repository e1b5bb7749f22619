"""ncnn on the CPU; the model is a directory of `model.param` and `model.bin`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ncnn
import numpy as np


class Engine:
    """Storage and arithmetic in float32: ncnn would take shorter numbers where the CPU has them."""

    def __init__(self, model: str, value: Any, threads: int) -> None:
        self._net = ncnn.Net()
        options = self._net.opt
        options.num_threads = threads
        options.use_vulkan_compute = False
        options.use_fp16_packed = options.use_fp16_storage = options.use_fp16_arithmetic = False
        options.use_bf16_storage = False
        for load, name in ((self._net.load_param, "model.param"), (self._net.load_model, "model.bin")):
            if load(str(Path(model) / name)) != 0:
                raise RuntimeError(f"ncnn refuses {name}")
        self._names = (self._net.input_names()[0], self._net.output_names()[0])
        self._value = np.ascontiguousarray(value[0])  # without the batch; Mat only points to its memory
        self._input = ncnn.Mat(self._value)
        self._result: Any = None

    def run(self) -> None:
        """One inference."""
        extractor = self._net.create_extractor()
        extractor.input(self._names[0], self._input)
        code, self._result = extractor.extract(self._names[1])
        if code != 0:
            raise RuntimeError(f"ncnn stopped with code {code}")

    def output(self) -> Any:
        """The last result."""
        return np.array(self._result)
