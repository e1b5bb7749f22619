"""What every board with QPUs shares: a GPU runs a program's launches, and these become a measurement."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np

from codegen.graph import FloatArray
from codegen.program import GpuProgram
from microbench.board import Job, Kind, Measurement
from microbench.errors import HazardError
from microbench.runner.messages import GpuRun, LaunchTimes


class Gpu(Protocol):
    """Loads a program into fresh memory, filled with 0xff behind its words, and runs its launches."""

    def run(self, program: GpuProgram, inputs: Sequence[FloatArray], repeats: int) -> GpuRun:
        """Raises HazardError where the GPU stopped the program, CandidateError where it cannot be loaded."""
        ...


def measure_on_gpu(gpu: Gpu, job: Job, program: GpuProgram, kind: Kind) -> Measurement:
    """A repeat's time is the sum of its launches'; counters are the totals of the last repeat,
    on silicon with the CPU time that launching it took (`launch_cpu_s`): near zero, for the process sleeps meanwhile.

    Simulated time is the same every time, so that one run serves all repeats. The output is every output region
    one after another, as the program left it.
    """
    place = f"candidate {job.candidate.hash[:12]} ({job.candidate.choice.algorithm})"
    simulated = kind == "simulated"
    try:
        run = gpu.run(program, job.inputs, 1 if simulated else job.repeats)
    except HazardError as error:
        raise HazardError(f"{place}: {error}") from error
    times_s = tuple(sum(launch.time_s for launch in launches) for launches in run.repeats)
    if simulated:
        times_s = times_s[:1] * job.repeats
    output = np.concatenate(run.outputs) if run.outputs else None
    conditions = () if simulated else tuple(readings.conditions() for readings in run.readings)
    counters = dict(_totals(run.repeats[-1]))
    if not simulated:
        counters["launch_cpu_s"] = sum(launch.cpu_s or 0.0 for launch in run.repeats[-1])
    return Measurement(times_s, kind, output, counters, conditions)


def _totals(launches: Sequence[LaunchTimes]) -> Mapping[str, float]:
    names = sorted(launches[0].counters)
    return {name: sum(launch.counters[name] for launch in launches) for name in names}
