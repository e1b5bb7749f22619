"""The whole suite, in a fixed order."""

from __future__ import annotations

from functools import lru_cache

from microbench.suite.benchmark import Benchmark
from microbench.suite.families import arbitration, dma, issue, sfu, synchronisation, tmu, uniform, vpm
from microbench.suite.gpu import BoardShape

_FAMILIES = (issue, sfu, synchronisation, tmu, uniform, vpm, dma, arbitration)


@lru_cache(maxsize=32)
def suite(shape: BoardShape, queue_depth: int) -> tuple[Benchmark, ...]:
    """Every microbenchmark for a board; `queue_depth` is what `runner.queue_depth` found on it."""
    found: dict[str, Benchmark] = {}
    for family in _FAMILIES:
        for benchmark in family.benchmarks(shape, queue_depth):
            # On a board of one QPU, "one" and "all" are the same benchmark.
            if benchmark.qpus <= shape.qpus and found.setdefault(benchmark.name, benchmark) != benchmark:
                raise ValueError(f"two different microbenchmarks are called {benchmark.name!r}")
    return tuple(found.values())
