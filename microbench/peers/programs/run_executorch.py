"""ExecuTorch with its XNNPACK backend."""

from __future__ import annotations

from typing import Any

import torch
from executorch.extension.pybindings import portable_lib


class Engine:
    """The thread pool is the process's own: it is set before the program is loaded."""

    def __init__(self, model: str, inputs: Any, threads: int) -> None:
        portable_lib._unsafe_reset_threadpool(threads)
        self._module = portable_lib._load_for_executorch(model)
        self._inputs = tuple(torch.from_numpy(value) for value in inputs.values())
        self._result: Any = None

    def run(self) -> None:
        """One inference."""
        self._result = self._module.forward(self._inputs)

    def outputs(self) -> Any:
        """The last results."""
        return [one.numpy().copy() for one in self._result]
