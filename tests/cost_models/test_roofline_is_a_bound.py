"""No program of tiny layers takes less time on the virtual board than the roofline says that it must."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from codegen.algorithm import Algorithm, algorithms
from codegen.engine_registry import engine_named
from codegen.graph import LayerSpec
from codegen.operators.conv2d import Conv2d
from codegen.operators.pool2d import Pool2d
from cost_models.roofline import RooflineModel
from explorer.measure.jobs import JobBuilder
from explorer.search.candidate_pool import CandidatePool
from microbench.board import Board
from microbench.boards.virtual import VirtualBoard
from microbench.options import BoardOptions
from microbench.profile import load_profile
from tests.codegen.algorithm_layers import LAYERS
from tests.codegen.layers import convolution, inferred_layer, sum_of_two

PROFILE = load_profile("pi-zero")
TARGET = PROFILE.target()
ROOFLINE = RooflineModel(PROFILE)
MOST = 3  # candidates of an algorithm
TINY = (
    convolution(32, 16, (40, 40), Conv2d((1, 1))),  # many blocks of few channels: several are one tile
    convolution(16, 16, (1, 1), Conv2d((1, 1))),
    convolution(4, 8, (3, 3), Conv2d((1, 1))),
    convolution(4, 4, (4, 4), Conv2d((3, 3), (1, 1), (1, 1, 1, 1), groups=4)),
    inferred_layer(Pool2d("max", (2, 2), (2, 2)), (1, 16, 2, 2)),
    inferred_layer(Pool2d("max", (2, 2), (2, 2)), (1, 2, 4, 4)),
    inferred_layer(Pool2d("average", (3, 3)), (1, 4, 3, 3)),
    inferred_layer(sum_of_two(), *((1, 4, 3, 3),) * 2),
)


@pytest.fixture(scope="module")
def board() -> Iterator[Board]:
    with VirtualBoard.open(PROFILE, BoardOptions()) as board:
        yield board


def launching(spec: LayerSpec) -> list[Algorithm]:
    every = (one for one in algorithms().values() if engine_named(one.engine).launches)
    return [one for one in every if one.applies(spec, TARGET)]


@pytest.mark.parametrize("spec", [spec for spec in (*TINY, *LAYERS.values()) if launching(spec)])
def test_no_program_beats_its_bound(spec: LayerSpec, board: Board) -> None:
    jobs = JobBuilder(TARGET, 0, algorithms())
    for algorithm in launching(spec):
        candidates = CandidatePool(spec, algorithm, TARGET, 4000, 0).candidates
        for candidate in candidates[:: max(1, len(candidates) // MOST)]:
            job = jobs.job(candidate)
            bound_s = ROOFLINE.terms(candidate, job.work).bound_s
            assert bound_s * TARGET.v3d_clock_hz <= board.measure(job).counters["cycles"], candidate.choice
