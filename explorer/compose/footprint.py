"""What a candidate takes of an engine that launches whatever runs: memory that no launch gives back, and marks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from codegen.algorithm import algorithm_named
from codegen.engine_registry import engine_named
from codegen.launches import Piece
from codegen.program import GpuProgram
from codegen.schedule import Candidate
from codegen.target import Target

MOST_KEPT = 1 << 14  # footprints in mind


@dataclass(frozen=True)
class Footprint:
    """`kept_bytes` of GPU memory beside the buffers: code, streams, weights and scratch memory. `marks`: what launches
    count and time, its phases, each in so many `parts`.
    """

    kept_bytes: int = 0
    marks: int = 1
    parts: int = 1

    def pieces(self, time_s: float) -> list[Piece]:
        """What launches hold whole of it."""
        if self.parts == 1:
            return [Piece(time_s, self.marks)]
        return [Piece(time_s / self.parts, 1)] * self.marks


FootprintOf = Callable[[Candidate], Footprint]


@lru_cache(maxsize=MOST_KEPT)
def footprint_of(candidate: Candidate, target: Target) -> Footprint:
    """Of the candidate's own program, a launch of its own included; nothing where its engine does not launch.

    Raises what its algorithm raises where there is no program.
    """
    choice, spec = candidate.choice, candidate.spec
    engine = engine_named(choice.engine)
    if not engine.launches:
        return Footprint(marks=0)
    weights = [np.zeros(tensor.shape, np.float32) for tensor in spec.weights]
    algorithm = algorithm_named(choice.algorithm)
    program = engine.program(algorithm, candidate, target, weights, "layer")
    assert isinstance(program, GpuProgram), f"engine {engine.name} launches"
    buffers = (*program.inputs, *program.outputs)
    return Footprint(
        min(buffer.offset_bytes for buffer in buffers),
        sum(len(launch.layers) for launch in program.launches),
        engine.parts(algorithm, candidate, target),
    )
