"""What an algorithm of the VideoCore IV has beside what all have."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from codegen.algorithm import Algorithm
from codegen.engines.videocore4.layer import QpuLayer
from codegen.graph import LayerSpec
from codegen.schedule import Choice
from codegen.target import Target
from codegen.tensor import FloatArray


@runtime_checkable
class QpuAlgorithm(Algorithm, Protocol):
    """An algorithm that runs on the VideoCore IV."""

    def lower(
        self,
        spec: LayerSpec,
        target: Target,
        choice: Choice,
        weights: Sequence[FloatArray],
        *,
        output_lines: int | None = None,
    ) -> QpuLayer:
        """Kernel code, packed weights and a way to write each QPU's uniforms.

        `output_lines`: lines from one pixel16 block of the output to the next where the output is a part of a
        tensor with more channels; nothing but the layer's own channels may be written then. None: the output has
        blocks of its own.
        """
        ...


@runtime_checkable
class LowersEach(QpuAlgorithm, Protocol):
    """One of layers with several outputs, each of which may be a part of a tensor with more channels."""

    def lower_each(
        self,
        spec: LayerSpec,
        target: Target,
        choice: Choice,
        weights: Sequence[FloatArray],
        output_lines: Sequence[int | None],
    ) -> QpuLayer:
        """As `lower`, with the lines of each output."""
        ...
