"""DeepSparse; of a dense network it runs the dense kernels."""

from __future__ import annotations

import os
from typing import Any

os.environ["NM_DISABLE_ANALYTICS"] = (
    "True"  # it would report its use over the network, while others are timed
)

import deepsparse


class Engine:
    """`threads` are the engine's cores."""

    def __init__(self, model: str, inputs: Any, threads: int) -> None:
        self._engine = deepsparse.Engine(model=model, batch_size=1, num_cores=threads)
        self._inputs = list(inputs.values())
        self._result: list[Any] = []

    def run(self) -> None:
        """One inference."""
        self._result = self._engine.run(self._inputs, val_inp=False)

    def outputs(self) -> Any:
        """The last results."""
        return self._result
