"""How often windows' input lines come from memory, against what the virtual board reads."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from codegen.algorithm import algorithm_named, algorithms
from codegen.operators.conv2d import Conv2d
from codegen.schedule import Candidate
from explorer.measure.jobs import JobBuilder
from microbench.board import Board
from microbench.boards.virtual import VirtualBoard
from microbench.options import BoardOptions
from microbench.profile import load_profile
from tests.codegen.layers import convolution

PROFILE = load_profile("pi-zero")


@pytest.fixture(scope="module")
def board() -> Iterator[Board]:
    with VirtualBoard.open(PROFILE, BoardOptions()) as board:
        yield board


@pytest.mark.parametrize(
    ("channels", "side", "stride", "chunk"),
    [(64, 40, 1, 64), (64, 40, 1, 8), (64, 40, 2, 64), (32, 14, 1, 32), (32, 7, 1, 32), (16, 112, 1, 16)],
)
def test_rows_that_blocks_share_are_read_again_where_chunks_exceed_the_cache(
    channels: int, side: int, stride: int, chunk: int, board: Board
) -> None:
    op = Conv2d((3, 3), (stride, stride), (1, 1, 1, 1), groups=channels)
    spec = convolution(channels, channels, (side, side), op)
    choice = algorithm_named("qpu_depthwise").choice(
        spec, PROFILE.target(), {"channel_chunk": chunk, "rows": 8}
    )
    job = JobBuilder(PROFILE.target(), 0, algorithms()).job(Candidate(spec, choice))
    read = board.measure(job).counters["tmu_sdram_bytes"]
    assert job.work.streamed_bytes_read == pytest.approx(read, rel=0.15)
