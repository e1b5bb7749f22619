"""What an algorithm of the CPU has beside what all have."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from codegen.algorithm import Algorithm
from codegen.graph import LayerSpec
from codegen.program import CpuProgram
from codegen.schedule import Choice
from codegen.target import Target
from codegen.tensor import FloatArray


@runtime_checkable
class CpuAlgorithm(Algorithm, Protocol):
    """An algorithm that is C code for the CPU."""

    def emit(
        self, spec: LayerSpec, target: Target, choice: Choice, weights: Sequence[FloatArray], entry: str
    ) -> CpuProgram:
        """A self-contained C function named `entry`, and its packed weights."""
        ...
