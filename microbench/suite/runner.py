"""Runs microbenchmarks on a GPU and turns launch times into seconds a round."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from codegen.program import GpuProgram
from microbench.errors import HazardError
from microbench.suite.benchmark import Benchmark
from microbench.suite.families.tmu import MOST_IN_FLIGHT, in_flight
from microbench.suite.gpu import Gpu, Launcher, Memory
from microbench.suite.image import Image, size_bytes

Measurements = Mapping[str, float]  # benchmark's name -> seconds a round, or of the launch


@dataclass(frozen=True)
class Effort:
    """How hard to measure. A clock with noise wants more rounds and the median of several launches."""

    rounds_factor: int = 1
    repeats: int = 1


ONCE = Effort()


class InMemory:
    """Launches of programs in one allocation of a GPU (`Launcher`), of so many bytes."""

    def __init__(self, gpu: Gpu, size_bytes: int) -> None:
        self._gpu = gpu
        self._memory: Memory = gpu.alloc(size_bytes)

    def times_s(self, program: GpuProgram, repeats: int) -> tuple[float, ...]:
        """See `Launcher`."""
        memory = self._memory
        words = memory.view[: program.words.nbytes].view(np.uint32)
        words[:] = program.words
        words[program.relocations] += np.uint32(memory.bus)
        (launch,) = program.launches
        control = memory.bus + launch.control_offset_bytes
        return tuple(self._gpu.execute(launch.num_qpus, control).time_s for _ in range(repeats))


def measure(gpu: Gpu, benchmarks: Iterable[Benchmark], effort: Effort = ONCE) -> dict[str, float]:
    """Seconds a round of each benchmark. Raises HazardError when a launch fails, CandidateError without memory."""
    chosen = tuple(benchmarks)
    return measure_with(InMemory(gpu, _size_bytes(chosen, effort)), chosen, effort)


def _size_bytes(benchmarks: Iterable[Benchmark], effort: Effort = ONCE) -> int:
    """What the largest of them wants."""
    return max(size_bytes(b, max(b.scaled(effort.rounds_factor))) for b in benchmarks)


def measure_with(
    launcher: Launcher, benchmarks: Iterable[Benchmark], effort: Effort = ONCE
) -> dict[str, float]:
    """The same by whatever launches programs."""
    return {benchmark.name: round_s(launcher, benchmark, effort) for benchmark in benchmarks}


def round_s(launcher: Launcher, benchmark: Benchmark, effort: Effort) -> float:
    """Seconds a round of one benchmark; raises as `measure`."""
    short, long = benchmark.scaled(effort.rounds_factor)
    image = Image(benchmark, long)
    long_s = launcher.times_s(image.program(long), effort.repeats)
    if benchmark.rounds is None:
        return statistics.median(long_s)
    short_s = launcher.times_s(image.program(short), effort.repeats)
    differences_s = [longer - shorter for longer, shorter in zip(long_s, short_s, strict=True)]
    return statistics.median(differences_s) / (long - short)


def queue_depth(gpu: Gpu) -> int:
    """The most TMU requests of a QPU in flight on one TMU that a launch comes back from."""
    return queue_depth_with(InMemory(gpu, _size_bytes((in_flight(MOST_IN_FLIGHT),))))


def queue_depth_with(launcher: Launcher) -> int:
    """The same by whatever launches programs."""
    depth = 0
    for requests in range(1, MOST_IN_FLIGHT + 1):
        try:
            measure_with(launcher, (in_flight(requests),))
        except HazardError:
            break
        depth = requests
    return depth
