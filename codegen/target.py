"""What code generation must know of a board; device profiles (floor 2) produce one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

SMALLEST_L1D_BYTES = 16 * 1024  # of the boards' cores: what every one has


# On boards whose system has an L2 of its own (BCM2835): cached in it, or past it.
GpuMemory = Literal["cached", "direct"]
GPU_MEMORIES: tuple[GpuMemory, ...] = get_args(GpuMemory)

WeightType = Literal["float32", "float16", "int8", "bfloat16"]
WEIGHT_TYPES: tuple[WeightType, ...] = get_args(WeightType)


@dataclass(frozen=True)
class Target:
    """A board as the compiler sees it. `compiler` is an argument vector for C; `qpus` 0 where there is no GPU.

    `l2_bytes` is the GPU's, the CPU's caches have their own: data of the first level, and the second level or 0.
    `parts`: launches that a layer is dealt out to, where `qpus` are those of all of them together.
    `weights`: as what algorithms that can do so store them; the user's wish, which no board has.
    """

    name: str
    qpus: int
    cpu: str
    compiler: tuple[str, ...]
    cores: int
    v3d_clock_hz: float = 0.0
    gpu_memory_bytes: int = 0
    launch_limit_s: float = 0.8
    l2_bytes: int = 0
    cpu_l1d_bytes: int = SMALLEST_L1D_BYTES
    cpu_l2_bytes: int = 0
    weights: WeightType = "float32"
    parts: int = 1

    @property
    def has_qpus(self) -> bool:
        return self.qpus > 0

    @property
    def qpus_at_once(self) -> int:
        """Those of a launch."""
        return self.qpus // self.parts
