"""The virtual GPU in this process, as boards use it: a fresh one for every program."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from codegen.program import GpuProgram, Launch
from codegen.tensor import FloatArray
from microbench.errors import HazardError
from microbench.profile import DeviceProfile
from microbench.runner.messages import GpuRun, LaunchTimes
from microbench.virtual import Allocation, VirtualV3D
from microbench.virtual.bundle import LAUNCH_LIMIT_S


class SimulatedGpu:
    """Runs programs on the simulator with the constants of a profile (`Gpu`); several may run at once."""

    def __init__(self, profile: DeviceProfile) -> None:
        self._profile = profile

    def run(self, program: GpuProgram, inputs: Sequence[FloatArray], repeats: int) -> GpuRun:
        """See `Gpu`. A read of stale cached data is a HazardError too, its result would be luck; so is a warning."""
        runs = [self._run_once(program, inputs) for _ in range(repeats)]
        return GpuRun(tuple(launches for launches, _ in runs), runs[-1][1])

    def _run_once(
        self, program: GpuProgram, inputs: Sequence[FloatArray]
    ) -> tuple[tuple[LaunchTimes, ...], tuple[FloatArray, ...]]:
        with VirtualV3D(self._profile) as gpu:
            memory = gpu.alloc(program.size_bytes)
            load(memory, program)
            for region, image in zip(program.inputs, inputs, strict=True):
                end = region.offset_bytes + region.size_bytes
                memory.view[region.offset_bytes : end] = image.reshape(-1).view(np.uint8)
            launches = tuple(_execute(gpu, memory, launch) for launch in program.launches)
            regions = [memory.view[r.offset_bytes : r.offset_bytes + r.size_bytes] for r in program.outputs]
            return launches, tuple(region.view(np.float32).copy() for region in regions)


def load(memory: Allocation, program: GpuProgram) -> None:
    """The program's words at its allocation's start, relocated to where that is."""
    words = memory.view[: program.words.nbytes].view(np.uint32)
    words[:] = program.words
    words[program.relocations] += np.uint32(memory.bus)


def _execute(gpu: VirtualV3D, memory: Allocation, launch: Launch) -> LaunchTimes:
    mark = launch.barrier_offset_bytes
    execution = gpu.execute(
        launch.num_qpus,
        memory.bus + launch.control_offset_bytes,
        timeout_s=LAUNCH_LIMIT_S,
        mark_bus=0 if mark is None else memory.bus + mark,
    )
    if execution.first_stale is not None:
        first = execution.first_stale
        raise HazardError(
            f"virtual GPU: {execution.stale_reads} reads of stale cached data, the first of {first.bus:#010x} "
            f"(byte {first.bus - memory.bus} of the image) by instruction {first.instruction} of QPU {first.qpu}; "
            "no address may be read again after a DMA store to it within a launch"
        )
    if execution.warnings:
        warned = execution.warnings[0]
        raise HazardError(
            f"virtual GPU: {warned.rule}, {warned.count} times, first by instruction {warned.instruction} of QPU "
            f"{warned.qpu}; silicon lets it pass, and no kernel of this project needs it"
        )
    marks_s = tuple(execution.overhead_s + time_s for time_s in execution.mark_times_s)
    return LaunchTimes(execution.time_s, marks_s, execution.counters)
