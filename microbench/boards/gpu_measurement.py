"""What every board with QPUs shares: a GPU runs a program's launches, and these become a measurement."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np

from codegen.program import GpuProgram
from codegen.tensor import FloatArray
from microbench.board import Job, Kind, Measurement
from microbench.errors import HazardError
from microbench.protocol import STANDARD, Timing, repeats_of
from microbench.runner.messages import GpuRun, LaunchTimes

NEARLY = 0.8  # of the time that was wished for is enough of it
MOST_REQUESTS = 3  # for one candidate, after the first run


class Gpu(Protocol):
    """Loads a program into fresh memory, filled with 0xff behind its words, and runs its launches."""

    def run(self, program: GpuProgram, inputs: Sequence[FloatArray], repeats: int) -> GpuRun:
        """Raises HazardError where the GPU stopped the program, CandidateError where it cannot be loaded."""
        ...


def measure_on_gpu(
    gpu: Gpu, job: Job, program: GpuProgram, kind: Kind, timing: Timing | None = STANDARD
) -> Measurement:
    """A run's time is the sum of its launches', a repeat's the mean of its runs'; counters are the totals of the last
    run, on silicon with the CPU time that launching it took (`launch_cpu_s`): near zero, for the process sleeps.

    `timing` None: times are the same every time, so that one run serves all repeats. Otherwise a first run tells how
    many make up the warm-up and the repeats. The output is every output region one after another, as the
    program left it.
    """
    place = f"candidate {job.candidate.hash[:12]} ({job.candidate.choice.algorithm})"
    try:
        if timing is None:
            run, times_s = _once(gpu, job, program)
        else:
            run, times_s = _warmed_up(gpu, job, program, timing)
    except HazardError as error:
        raise HazardError(f"{place}: {error}") from error
    output = np.concatenate(run.outputs) if run.outputs else None
    counters = dict(_totals(run.repeats[-1]))
    if kind == "simulated":
        return Measurement(times_s, kind, output, counters)
    counters["launch_cpu_s"] = sum(launch.cpu_s or 0.0 for launch in run.repeats[-1])
    conditions = tuple(readings.conditions() for readings in run.readings)
    return Measurement(times_s, kind, output, counters, conditions)


def _once(gpu: Gpu, job: Job, program: GpuProgram) -> tuple[GpuRun, tuple[float, ...]]:
    run = gpu.run(program, job.inputs, 1)
    return run, _runs_s(run) * job.repeats


def _warmed_up(gpu: Gpu, job: Job, program: GpuProgram, timing: Timing) -> tuple[GpuRun, tuple[float, ...]]:
    """The warm-up is of the same request as what is timed: between two requests the GPU would rest.

    A first run may be slower than those after it, and what is counted on it too few: then once more, by what they took.
    """
    run = gpu.run(program, job.inputs, 1)
    runs_s = _runs_s(run)
    for _ in range(MOST_REQUESTS):
        once_s = statistics.fmean(runs_s)
        untimed = timing.warm_up_runs(once_s)
        timed = job.repeats * timing.runs_per_repeat(once_s, job.repeats)
        run = gpu.run(program, job.inputs, untimed + timed)
        runs_s = _runs_s(run)[untimed:]
        if sum(runs_s) >= NEARLY * min(timing.minimum_total_s, timed * once_s):
            break
    return run, repeats_of(runs_s, job.repeats)


def _runs_s(run: GpuRun) -> tuple[float, ...]:
    return tuple(sum(launch.time_s for launch in launches) for launches in run.repeats)


def _totals(launches: Sequence[LaunchTimes]) -> Mapping[str, float]:
    names = sorted(launches[0].counters)
    return {name: sum(launch.counters[name] for launch in launches) for name in names}
