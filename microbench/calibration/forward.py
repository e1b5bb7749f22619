"""The forward model: what the suite would measure on a board with given constants, by the simulator."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from microbench.errors import BoardError, HazardError
from microbench.profile import DeviceProfile
from microbench.suite.benchmark import Benchmark
from microbench.suite.gpu import BoardShape
from microbench.suite.runner import measure
from microbench.suite.suite import suite
from microbench.virtual import VirtualV3D

Floats = NDArray[np.float64]
Values = Mapping[str, float]

_SHORTEST_S = 1e-12  # a difference of two launches may be nothing
SMALL_MEMORY_BYTES = 1 << 25  # the suite's programs and data fit; less to clear for each virtual board


@dataclass
class ForwardModel:
    """Logarithms of times under constants, for one shape and queue depth; remembers what it has computed.

    A context manager; virtual boards run in `workers` threads, one each.
    """

    profile: DeviceProfile
    queue_depth: int
    workers: int = 1
    runs: int = 0
    _known: dict[tuple[tuple[float, ...], str], float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.benchmarks = suite(BoardShape.of(self.profile), self.queue_depth)
        self._pool = ThreadPoolExecutor(self.workers)

    def named(self, prefixes: Sequence[str]) -> tuple[Benchmark, ...]:
        """The benchmarks whose names begin with one of the prefixes."""
        return tuple(b for b in self.benchmarks if b.name.startswith(tuple(prefixes)))

    def log_times(self, values: Values, benchmarks: Sequence[Benchmark]) -> Floats:
        """One logarithm of seconds a benchmark; infinite where there can be no such machine."""
        return self.many((values,), benchmarks)[0]

    def many(self, candidates: Sequence[Values], benchmarks: Sequence[Benchmark]) -> list[Floats]:
        """The same for several candidates, side by side."""
        return list(self._pool.map(lambda values: self._one(values, benchmarks), candidates))

    def _one(self, values: Values, benchmarks: Sequence[Benchmark]) -> Floats:
        key = tuple(values.values())
        missing = [b for b in benchmarks if (key, b.name) not in self._known]
        if missing:
            self.runs += len(missing)
            times = self._measured(values, missing)
            for b in missing:
                self._known[key, b.name] = math.log(max(times.get(b.name, math.inf), _SHORTEST_S))
        return np.array([self._known[key, b.name] for b in benchmarks])

    def _measured(self, values: Values, benchmarks: Sequence[Benchmark]) -> dict[str, float]:
        """Nothing where the simulator says that there is no such machine, or stops a program on it."""
        try:
            with VirtualV3D(board_with(self.profile, values)) as gpu:
                return measure(gpu, benchmarks)
        except (BoardError, HazardError):
            return {}

    def close(self) -> None:
        self._pool.shutdown()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def board_with(profile: DeviceProfile, values: Values) -> DeviceProfile:
    """The profile with other constants, and no more memory than the suite needs."""
    changed = profile.with_v3d(**values)
    return changed.model_copy(update={"gpu_memory_bytes": SMALL_MEMORY_BYTES})
