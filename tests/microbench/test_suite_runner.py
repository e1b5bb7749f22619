"""How launch times become measurements: on a made-up GPU whose launches take what a law says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pytest
from numpy.typing import NDArray

from microbench.errors import HazardError, ProfileError
from microbench.profile import load_profile
from microbench.suite.benchmark import Address, Benchmark, Numbered, Rounds
from microbench.suite.gpu import BoardShape
from microbench.suite.runner import Effort, measure, queue_depth
from microbench.virtual import VirtualV3D

OVERHEAD_S, ROUND_S = 1e-4, 3e-6


@dataclass
class Block:
    bus: int
    view: NDArray[np.uint8]


@dataclass
class Launch:
    time_s: float


@dataclass
class LawfulGpu:
    """Launches take `law(rounds, number of the launch)` seconds; rounds are the first QPU's first uniform."""

    law: Callable[[int, int], float]
    blocks: list[Block] = field(default_factory=list)
    rounds: list[int] = field(default_factory=list)

    def alloc(self, n_bytes: int, align: int = 4096) -> Block:
        self.blocks.append(Block(1 << 20 << len(self.blocks), np.zeros(n_bytes, np.uint8)))
        return self.blocks[-1]

    def execute(self, num_qpus: int, control_bus: int, noflush: int = 0, timeout_s: float = 1.0) -> Launch:
        words = self.blocks[0].view.view(np.uint32)
        stream = (int(words[0]) - control_bus) // 4
        self.rounds.append(int(words[stream]))
        return Launch(self.law(self.rounds[-1], len(self.rounds) - 1))


def law(rounds: int, launch: int) -> float:
    return OVERHEAD_S + ROUND_S * rounds


LOOP = Benchmark("loop", "test", ((0, 0),), rounds=(8, 24))


def test_a_round_is_the_difference_of_launches_and_the_overhead_cancels() -> None:
    gpu = LawfulGpu(law)
    assert measure(gpu, (LOOP,))["loop"] == pytest.approx(ROUND_S)
    assert gpu.rounds == [24, 8]


def test_a_whole_launch_keeps_the_overhead() -> None:
    whole = Benchmark("whole", "test", ((0, 0),), rounds=None)
    assert measure(LawfulGpu(law), (whole,))["whole"] == pytest.approx(OVERHEAD_S + ROUND_S)


def test_effort_lengthens_the_long_launch_and_takes_the_median() -> None:
    disturbed = LawfulGpu(lambda rounds, launch: law(rounds, launch) + (1.0 if launch == 2 else 0.0))
    assert measure(disturbed, (LOOP,), Effort(rounds_factor=10, repeats=3))["loop"] == pytest.approx(ROUND_S)
    assert disturbed.rounds == [168] * 3 + [8] * 3


def test_every_qpu_gets_its_code_and_its_uniforms() -> None:
    gpu = LawfulGpu(law)
    uniforms = (Rounds(), 7, Address(64, 256), Numbered(5, 2))
    measure(gpu, (Benchmark("two", "test", ((1, 2), (3,)), uniforms, qpus=3, round_words=2),))
    (programs,) = gpu.blocks
    words = programs.view.view(np.uint32)
    starts = [(int(words[2 * q]) - programs.bus) // 4 for q in range(3)]
    streams = [[int(w) for w in words[start : start + 5]] for start in starts]
    data = streams[0][2] - 64
    assert data % 4096 == 0 and programs.bus + 4 * max(starts) < data < programs.bus + programs.view.size
    assert streams == [[8, 7, data + 64 + 256 * q, 5 + 2 * q, 0] for q in range(3)]
    codes = [int(words[2 * q + 1]) - programs.bus for q in range(3)]
    assert codes[0] != codes[1] == codes[2]  # the last program serves all further QPUs
    assert int(words[codes[0] // 4 :].view(np.uint64)[1]) == 2


@pytest.mark.parametrize("depth", [1, 3, 6])
def test_the_queue_is_as_deep_as_launches_come_back(depth: int) -> None:
    with VirtualV3D(load_profile("pi-zero").with_v3d(tmu_queue_depth=depth)) as gpu:
        assert queue_depth(gpu) == depth


def test_a_gpu_that_never_comes_back_has_no_queue() -> None:
    def stops(rounds: int, launch: int) -> float:
        raise HazardError("the launch did not end")

    assert queue_depth(LawfulGpu(stops)) == 0


def test_a_device_without_qpus_has_no_shape() -> None:
    with pytest.raises(ProfileError, match="has no QPUs"):
        BoardShape.of(load_profile("host"))
