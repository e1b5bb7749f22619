"""ncnn on the CPU; the model is a directory of `model.param` and `model.bin`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ncnn
import numpy as np


class Engine:
    """Storage and arithmetic in float32: ncnn would take shorter numbers where the CPU has them."""

    def __init__(self, model: str, inputs: Any, threads: int) -> None:
        self._net = ncnn.Net()
        options = self._net.opt
        options.num_threads = threads
        options.use_vulkan_compute = False
        options.use_fp16_packed = options.use_fp16_storage = options.use_fp16_arithmetic = False
        options.use_bf16_storage = False
        for load, name in ((self._net.load_param, "model.param"), (self._net.load_model, "model.bin")):
            if load(str(Path(model) / name)) != 0:
                raise RuntimeError(f"ncnn refuses {name}")
        self._names = self._net.output_names()
        names = sorted(self._net.input_names(), key=lambda name: (len(name), name))  # in0, in1, ... in10
        # Without the batch; a Mat only points to its memory. pnnx numbers inputs in the model's order.
        self._values = [np.ascontiguousarray(value[0]) for value in inputs.values()]
        self._inputs = dict(zip(names, map(ncnn.Mat, self._values), strict=True))
        self._results: list[Any] = []

    def run(self) -> None:
        """One inference."""
        extractor = self._net.create_extractor()
        for name, value in self._inputs.items():
            extractor.input(name, value)
        results = [extractor.extract(name) for name in self._names]
        failed = [code for code, _ in results if code != 0]
        if failed:
            raise RuntimeError(f"ncnn stopped with code {failed[0]}")
        self._results = [result for _, result in results]

    def outputs(self) -> Any:
        """The last results."""
        return [np.array(result) for result in self._results]
