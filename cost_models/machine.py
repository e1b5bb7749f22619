"""What of a board's constants the learned model sees, so that boards of one family can share what is known."""

from __future__ import annotations

from dataclasses import dataclass

from codegen.engine_registry import engine_named
from codegen.schedule import Choice
from cost_models.gpu_paths import GpuPaths
from microbench.profile import DeviceProfile

# Cycles and bytes per cycle of the GPU, so that a faster clock alone changes nothing but the roofline.
GPU_CYCLES = (
    *("issue_cycles", "tmu_cycles_per_request", "tmu_hit_latency_cycles", "l2_latency_cycles"),
    *("uniform_refill_cycles", "uniform_l2_extra_cycles", "vdw_row_cycles"),
)
GPU_SECONDS = ("sdram_latency_s", "uniform_sdram_extra_s", "vdw_setup_s")
CONSTANT_NAMES = (*GPU_CYCLES, *GPU_SECONDS, "memory_bytes_per_cycle", "cpu_clock_hz")


@dataclass(frozen=True)
class Machine:
    """A board's processors and caches; `constants` in the order of CONSTANT_NAMES, 0 where the board has none.
    `paths` is None where there are no QPUs.
    """

    qpus: int
    gpu_clock_hz: float
    gpu_cache_bytes: float
    cpu_cache_bytes: float
    constants: tuple[float, ...]
    paths: GpuPaths | None = None

    @staticmethod
    def of(profile: DeviceProfile) -> Machine:
        target = profile.target()
        return Machine(
            qpus=target.qpus,
            gpu_clock_hz=target.v3d_clock_hz,
            gpu_cache_bytes=float(target.l2_bytes),
            cpu_cache_bytes=float(target.cpu_l2_bytes or target.cpu_l1d_bytes),
            constants=_constants(profile),
            paths=GpuPaths.of(profile) if profile.v3d else None,
        )

    def cycles(self, time_s: float, choice: Choice) -> float:
        """A time in cycles of the GPU's clock, or in nanoseconds on a CPU."""
        return time_s * (self.gpu_clock_hz if self.on_gpu(choice) else 1e9)

    def elements(self, choice: Choice) -> int:
        """Processing elements that share a choice's work."""
        return self.qpus if self.on_gpu(choice) else choice.threads

    def cache_bytes(self, choice: Choice) -> float:
        """Of the last cache that the choice's processors share, at least 1."""
        return max(1.0, self.gpu_cache_bytes if self.on_gpu(choice) else self.cpu_cache_bytes)

    @staticmethod
    def on_gpu(choice: Choice) -> bool:
        """Whether a choice runs on QPUs."""
        return engine_named(choice.engine).launches


def _constants(profile: DeviceProfile) -> tuple[float, ...]:
    cpu_hz = profile.cpu_costs["clock_hz"].value if "clock_hz" in profile.cpu_costs else 0.0
    if not profile.v3d:
        return (*(0.0 for _ in CONSTANT_NAMES[:-1]), cpu_hz)
    value, clock_hz = profile.v3d_value, profile.v3d_value("clock_hz")
    cycles = [value(name) for name in GPU_CYCLES]
    seconds = [value(name) * clock_hz for name in GPU_SECONDS]
    return (*cycles, *seconds, profile.memory_bytes_per_s / clock_hz, cpu_hz)
