"""The microbenchmarks of a CPU as data, in a fixed order."""

from __future__ import annotations

from dataclasses import dataclass

SMALL_BYTES = 4096  # fits every first-level cache
LARGE_BYTES = 64 << 20  # more than any cache
STEP_BYTES = 32  # no line is shorter
PAIRED_BYTES = 128 << 10  # more than a first level; where there is a second one, it is not what hides misses
COMPANIONS = (8, 16, 32, 64, 128, 256)  # bytes between two loads
_CHASED = tuple(size for octave in range(12, 26) for size in (1 << octave, 5 << octave - 2, 3 << octave - 1))


@dataclass(frozen=True)
class CpuBenchmark:
    """A kernel of cpu_suite.c; `size_bytes` and `stride` are what it says they are to each."""

    kernel: str
    size_bytes: int = SMALL_BYTES
    stride: int = 1

    @property
    def name(self) -> str:
        return f"{self.kernel}.bytes={self.size_bytes}.stride={self.stride}"


CYCLE = CpuBenchmark("cycle")
ADD = CpuBenchmark("add")
LATENCY = CpuBenchmark("latency")
LOAD = CpuBenchmark("load")
STORE = CpuBenchmark("store")
CALL = CpuBenchmark("call")
READ = CpuBenchmark("read", LARGE_BYTES)
WRITE = CpuBenchmark("write", LARGE_BYTES)
CHASES = tuple(CpuBenchmark("chase", size, STEP_BYTES) for size in (*_CHASED, LARGE_BYTES))
PAIRS = tuple(CpuBenchmark("pairs", PAIRED_BYTES, offset) for offset in COMPANIONS)


def cpu_suite(cores: int) -> tuple[CpuBenchmark, ...]:
    """Every benchmark of a CPU with so many cores; threads of theirs only where there are several."""
    threaded = (CpuBenchmark("share", stride=cores), CpuBenchmark("wake", stride=cores))
    return (
        *(CYCLE, ADD, LATENCY, LOAD, STORE, CALL, READ, WRITE, *CHASES, *PAIRS),
        *(threaded if cores > 1 else ()),
    )
