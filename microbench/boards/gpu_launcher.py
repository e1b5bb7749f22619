"""The suite's launches by a board's GPU, wherever it is."""

from __future__ import annotations

from codegen.program import GpuProgram
from microbench.boards.gpu_measurement import Gpu


class GpuLauncher:
    """Loads each program afresh for every launch (`Launcher`)."""

    def __init__(self, gpu: Gpu) -> None:
        self._gpu = gpu

    def times_s(self, program: GpuProgram, repeats: int) -> tuple[float, ...]:
        """See `Launcher`; raises BoardError for a lost connection too."""
        run = self._gpu.run(program, (), repeats)
        return tuple(launch.time_s for launches in run.repeats for launch in launches)
