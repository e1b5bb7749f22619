"""What a candidate takes whatever runs: memory that nothing gives back, and marks of an engine that launches."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from codegen.algorithm import algorithm_named
from codegen.engine_registry import engine_named
from codegen.launches import Piece
from codegen.memory_space import HOST_MEMORY
from codegen.program import CpuProgram, GpuProgram, Program
from codegen.schedule import Candidate
from codegen.target import Target
from codegen.trial_zeros import with_zeros

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


def footprint_of(candidate: Candidate, target: Target) -> Footprint:
    """Of the candidate's own program, a launch of its own included; nothing where its engine does not launch.

    Raises what its algorithm raises where there is no program.
    """
    if not engine_named(candidate.choice.engine).launches:
        return Footprint(marks=0)
    return _launched(candidate, target)


def kept_bytes_of(candidate: Candidate, target: Target) -> int:
    """What a bundle keeps for the candidate beside its buffers and workspace, on whatever engine: of one that is called
    its packed weights. Raises as `footprint_of`.
    """
    if engine_named(candidate.choice.engine).launches:
        return _launched(candidate, target).kept_bytes
    return _weights_bytes(candidate, target)


@lru_cache(maxsize=MOST_KEPT)
def _launched(candidate: Candidate, target: Target) -> Footprint:
    program = _program(candidate, target)
    assert isinstance(program, GpuProgram), f"engine {candidate.choice.engine} launches"
    buffers = (*program.inputs, *program.outputs)
    choice = candidate.choice
    return Footprint(
        min(buffer.offset_bytes for buffer in buffers),
        sum(len(launch.layers) for launch in program.launches),
        engine_named(choice.engine).parts(algorithm_named(choice.algorithm), candidate, target),
    )


@lru_cache(maxsize=MOST_KEPT)
def _weights_bytes(candidate: Candidate, target: Target) -> int:
    program = _program(candidate, target)
    assert isinstance(program, CpuProgram), f"engine {candidate.choice.engine} is called"
    return HOST_MEMORY.taken_bytes(program.weights.nbytes)


def _program(candidate: Candidate, target: Target) -> Program:
    choice, spec = candidate.choice, candidate.spec
    ones = [np.ones(tensor.shape, np.float32) for tensor in spec.weights]
    weights = with_zeros(spec, ones, np.random.default_rng(0))
    algorithm = algorithm_named(choice.algorithm)
    return engine_named(choice.engine).program(algorithm, candidate, target, weights, "layer")
