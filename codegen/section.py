"""What a plan asks of one engine, and what the engine makes of it: a section of a bundle."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from codegen.algorithm import Algorithm
from codegen.placement import Placement
from codegen.program import CpuProgram, GpuProgram
from codegen.schedule import Candidate
from codegen.tensor import FloatArray

Section = tuple[CpuProgram, ...] | GpuProgram
"""C functions, one for each step in order, which a run calls; or one image of GPU memory, with launches for each run of
steps, that tell their layers by the steps' names. Functions of one name are one function.
"""


@dataclass(frozen=True, eq=False)
class SectionStep:
    """A layer to compute, by an algorithm that the engine owns, from and to buffers of these names.

    `index`: its place in the plan, `entry`: the name of its C function, which layers that are equal but for their
    weights share. `output_lines`: for each output that is a part of a concatenation in blocks the lines from one
    block to the next, None for others. `predicted_s`: how long it takes. `filled`: for each input the share of its
    elements that are likely to be other than zero.
    """

    index: int
    name: str
    entry: str
    algorithm: Algorithm
    candidate: Candidate
    weights: Sequence[FloatArray]
    reads: tuple[str, ...]
    writes: tuple[str, ...]
    output_lines: tuple[int | None, ...]
    predicted_s: float
    filled: tuple[float, ...]


@dataclass(frozen=True, eq=False)
class Share:
    """An engine's steps of a plan, in order.

    `runs`: those that may share a launch; all in one where the engine's layers are called. What launches touch lies
    in GPU memory as `placement` says; `inputs` are the buffers there that others write, `outputs` those that this
    engine writes and others read. None of these is a part of another.
    """

    runs: Sequence[Sequence[SectionStep]]
    placement: Placement
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]

    @property
    def steps(self) -> tuple[SectionStep, ...]:
        return tuple(step for run in self.runs for step in run)
