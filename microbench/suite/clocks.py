"""Memory throughput by the clock of the V3D: so many bytes a cycle, up to where SDRAM ends."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from microbench.profile import DeviceProfile
from microbench.suite.benchmark import Benchmark
from microbench.suite.gpu import BoardShape, Gpu
from microbench.suite.runner import measure, queue_depth
from microbench.suite.suite import suite
from microbench.virtual import VirtualV3D

CLOCKS_HZ = (200e6, 250e6, 300e6, 400e6, 500e6)


@dataclass(frozen=True)
class Throughput:
    """Bytes a second at a clock: of all QPUs' TMU reads, and of each DMA engine kept busy."""

    clock_hz: float
    tmu: float
    load: float
    store: float


def throughput(gpu: Gpu, shape: BoardShape) -> Throughput:
    """At the clock that the board has; raises HazardError when a launch fails."""
    there = suite(shape, queue_depth(gpu))
    names = (
        "tmu.stream.stride=04",
        f"dma.load.rows=16.words=16.qpus={shape.qpus}",
        f"dma.store.rows=128.words=16.qpus={shape.qpus}",
    )
    chosen = [_by_all(there, name, shape.qpus) for name in names]
    measured = measure(gpu, chosen)
    return Throughput(shape.clock_hz, *(b.units / measured[b.name] for b in chosen))


def _by_all(benchmarks: Sequence[Benchmark], name: str, qpus: int) -> Benchmark:
    return next(b for b in benchmarks if b.name.startswith(name) and b.qpus == qpus)


def virtual_throughputs(
    profile: DeviceProfile, clocks_hz: Sequence[float] = CLOCKS_HZ
) -> tuple[Throughput, ...]:
    """On the virtual board of a profile at other clocks; raises ProfileError for a device without QPUs."""
    found = []
    for clock_hz in clocks_hz:
        board = profile.with_v3d(clock_hz=clock_hz)
        with VirtualV3D(board) as gpu:
            found.append(throughput(gpu, BoardShape.of(board)))
    return tuple(found)


def clocks_table(throughputs: Sequence[Throughput]) -> str:
    """Markdown."""
    rows = (
        f"| {t.clock_hz / 1e6:.0f} MHz | {t.tmu / 1e6:.0f} MB/s | {t.tmu / t.clock_hz:.2f} | "
        f"{t.load / 1e6:.0f} MB/s | {t.store / 1e6:.0f} MB/s |"
        for t in throughputs
    )
    header = "| V3D clock | TMU reads by all | bytes a cycle of them | DMA loads of 16 rows | DMA stores of 128 rows |"
    return "\n".join([header, "|---|---|---|---|---|", *rows])
