"""The kernels of published computations compute what the publications say."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest
from numpy.typing import NDArray

from microbench.suite.benchmark import Benchmark
from microbench.suite.computations import (
    COPIED_ROWS,
    COSINE,
    HEAT_K,
    PLANE_BYTES,
    ROW_BYTES,
    SINE,
    copy,
    heat,
    rotation,
)
from microbench.suite.runner import measure
from microbench.virtual import Allocation, Execution, VirtualV3D

Floats = NDArray[np.float32]
PLANE = PLANE_BYTES // 4
ROW = ROW_BYTES // 4


@dataclass
class Watched:
    """The virtual GPU; fills the data before its first launch and keeps what that launch left."""

    gpu: VirtualV3D
    before: Floats
    blocks: list[Allocation] = field(default_factory=list)
    after: Floats | None = None

    def alloc(self, n_bytes: int, align: int = 4096) -> Allocation:
        self.blocks.append(self.gpu.alloc(n_bytes, align))
        return self.blocks[-1]

    def execute(self, num_qpus: int, control_bus: int, noflush: int = 0, timeout_s: float = 1.0) -> Execution:
        data = self.blocks[1].view.view(np.float32)
        if self.after is None:
            data[:] = self.before[: len(data)]
        execution = self.gpu.execute(num_qpus, control_bus, noflush, timeout_s)
        assert execution.stale_reads == 0
        if self.after is None:
            self.after = data.copy()
        return execution


def left_by(benchmark: Benchmark, before: Floats) -> Floats:
    """Data after the long launch."""
    with VirtualV3D() as gpu:
        watched = Watched(gpu, before)
        assert measure(watched, (benchmark,))[benchmark.name] > 0
        assert watched.after is not None
        return watched.after


def numbers() -> Floats:
    return np.random.default_rng(5).standard_normal(2 * PLANE).astype(np.float32)


@pytest.mark.parametrize(("qpus", "prefetched"), [(1, False), (1, True), (2, True)])
def test_points_are_rotated_in_place(qpus: int, prefetched: bool) -> None:
    before, benchmark = numbers(), rotation(qpus, prefetched)
    after = left_by(benchmark, before)
    points = 16 * qpus * max(benchmark.rounds or (0,))
    x, y = before[:points], before[PLANE : PLANE + points]
    np.testing.assert_allclose(after[:points], x * COSINE - y * SINE, atol=1e-5)
    np.testing.assert_allclose(after[PLANE : PLANE + points], y * COSINE + x * SINE, atol=1e-5)


@pytest.mark.parametrize("qpus", [1, 2])
def test_heat_flows_from_the_eight_neighbours(qpus: int) -> None:
    before, benchmark = numbers(), heat(qpus)
    after = left_by(benchmark, before)
    width = 16 * max(benchmark.rounds or (0,)) - 2
    grid = before[:PLANE].reshape(-1, ROW)
    around = sum(
        grid[1 + dy : 1 + dy + qpus, 1 + dx : 1 + dx + width]
        for dy in (-1, 0, 1)
        for dx in (-1, 0, 1)
        if (dy, dx) != (0, 0)
    )
    here = grid[1 : 1 + qpus, 1 : 1 + width]
    found = after[PLANE : 2 * PLANE].reshape(-1, ROW)[1 : 1 + qpus, 1 : 1 + width]
    np.testing.assert_allclose(found, here - HEAT_K * (here - around / 8), atol=1e-5)


def test_a_copy_is_a_copy() -> None:
    before, benchmark = np.resize(numbers(), 4 * PLANE), copy(8)
    after = left_by(benchmark, before)
    words = benchmark.qpus * COPIED_ROWS * 16 * max(benchmark.rounds or (0,))
    np.testing.assert_array_equal(after[2 * PLANE : 2 * PLANE + words], before[:words])
