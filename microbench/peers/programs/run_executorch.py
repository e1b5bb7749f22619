"""ExecuTorch with its XNNPACK backend."""

from __future__ import annotations

from typing import Any

import torch
from executorch.extension.pybindings import portable_lib


class Engine:
    """The thread pool is the process's own: it is set before the program is loaded."""

    def __init__(self, model: str, value: Any, threads: int) -> None:
        portable_lib._unsafe_reset_threadpool(threads)
        self._module = portable_lib._load_for_executorch(model)
        self._inputs = (torch.from_numpy(value),)
        self._result: Any = None

    def run(self) -> None:
        """One inference."""
        self._result = self._module.forward(self._inputs)

    def output(self) -> Any:
        """The last result."""
        return self._result[0].numpy().copy()
