"""A bundle of this project, compiled and loaded as anyone would from Python."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from codegen.bundle.manifest import read_manifest
from codegen.loaded import load_bundle
from microbench.profile import load_profile


class Engine:
    """How many threads a bundle uses was decided in its plan; `threads` is what it was chosen for."""

    def __init__(self, model: str, inputs: Any, threads: int) -> None:
        directory = Path(model)
        manifest = read_manifest(directory)
        self._model = load_bundle(directory, load_profile(manifest.device).target())
        self._inputs = {name: np.ascontiguousarray(value) for name, value in inputs.items()}
        self._result: Any = {}

    def run(self) -> None:
        """One inference."""
        self._result = self._model.run(self._inputs)

    def outputs(self) -> Any:
        """The last results."""
        return list(self._result.values())
