"""What tiles wait for: how they share lines, and the whole against times of the virtual board."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from codegen.algorithm import algorithm_named, algorithms
from codegen.operators.conv2d import Conv2d
from codegen.schedule import Candidate, Work
from cost_models.gpu_paths import GpuPaths
from cost_models.roofline import RooflineModel
from cost_models.tile_flow import Streams, TileFlow, Tiles
from explorer.measure.jobs import JobBuilder
from microbench.board import Board
from microbench.boards.virtual import VirtualBoard
from microbench.options import BoardOptions
from microbench.profile import load_profile
from tests.codegen.layers import convolution

PROFILE = load_profile("pi-zero")
TARGET, PATHS = PROFILE.target(), GpuPaths.of(PROFILE)


def pair(
    algorithm: str, layer: tuple[int, int, int], kernel: int = 1, **point: Any
) -> tuple[Candidate, Work]:
    """A convolution of `layer` input channels, output channels and side, and its work."""
    inputs, outputs, side = layer
    around = (kernel // 2,) * 4
    spec = convolution(inputs, outputs, (side, side), Conv2d((kernel, kernel), (1, 1), around))
    chosen = algorithm_named(algorithm)
    choice = chosen.choice(spec, TARGET, point)
    return Candidate(spec, choice), chosen.work(spec, TARGET, choice)


def tiles(layer: tuple[int, int, int], pixel_tiles: int, channels: int) -> Tiles:
    streamed = pair("qpu_pointwise_streamed", layer, pixel_tiles=pixel_tiles, blocks=1, channels=channels)
    return Tiles.of(*streamed, PATHS)


def test_all_qpus_on_one_tile_of_channels_are_twelve_rows() -> None:
    found = tiles((16, 32, 56), pixel_tiles=12, channels=32)
    assert (found.rows, found.columns, found.rows_at_once, found.columns_at_once) == (196, 1, 12, 1)
    assert found.turns == 1


def test_qpus_on_twelve_tiles_of_channels_read_the_same_pixels_twice() -> None:
    found = tiles((16, 192, 28), pixel_tiles=1, channels=8)
    assert (found.rows, found.columns, found.rows_at_once, found.columns_at_once) == (49, 24, 1, 12)
    assert (found.passes, found.turns) == (49, 2)


def test_few_rows_leave_qpus_to_more_columns_and_few_columns_to_more_rows() -> None:
    few_rows = tiles((16, 192, 6), pixel_tiles=12, channels=16)
    assert (few_rows.rows, few_rows.rows_at_once, few_rows.columns_at_once) == (3, 3, 4)
    few_columns = tiles((16, 32, 28), pixel_tiles=1, channels=16)
    assert (few_columns.columns, few_columns.rows_at_once, few_columns.columns_at_once) == (2, 6, 2)


def test_what_caches_hold_is_neither_waited_for_nor_moved_again() -> None:
    small, large = (
        TileFlow.of(
            *pair(
                "qpu_pointwise_streamed", (inputs, channels, 28), pixel_tiles=12, blocks=1, channels=channels
            ),
            PATHS,
        )
        for inputs, channels in ((16, 8), (512, 52))
    )
    assert small.waited < 0.01 < 0.3 < large.waited
    assert small.between_passes < 1 < large.between_passes


def test_results_that_are_stored_one_after_another_bound_layers_with_little_to_add() -> None:
    shallow, deep = (
        TileFlow.of(*pair("qpu_pointwise_blocked", (c, 32, 28), pixel_tiles=4, blocks=2, channels=16), PATHS)
        for c in (8, 256)
    )
    assert deep.vpm < 0.5 < 1 < shallow.vpm


@pytest.mark.parametrize(
    ("neighbours", "columns_of_slice", "asked"), [("channels", 4.0, 0.5), ("pixels", 2.0, 1.0)]
)
def test_neighbours_share_lines_of_pixels_or_streams_of_weights(
    neighbours: str, columns_of_slice: float, asked: float
) -> None:
    """Two rows by six columns: a slice's four QPUs are in one row, or in two columns."""
    rotated = pair(
        "qpu_pointwise_rotated", (64, 240, 28), pixel_tiles=2, blocks=2, channels=20, neighbours=neighbours
    )
    found = Tiles.of(*rotated, PATHS)
    assert (found.rows_at_once, found.columns_at_once, found.slices) == (2, 6, 3)
    assert found.columns_of_slice == pytest.approx(columns_of_slice, rel=0.2)
    assert found.asked == asked


def test_pixels_that_are_uniforms_are_the_streams() -> None:
    """Of 12 tiles of channels, four at once, by 9 of 22 pixels, three at once; a slice is on one of pixels."""
    found = Tiles.of(
        *pair(
            "qpu_pointwise_channels",
            (64, 384, 14),
            pixel_tiles=3,
            channels=32,
            pixels=22,
            neighbours="channels",
        ),
        PATHS,
    )
    assert (found.rows, found.columns, found.rows_at_once, found.columns_at_once) == (12, 9, 4, 3)
    assert (found.columns_of_slice, found.rows_of_slice, found.asked) == (1, 4, 1)


def test_weights_that_come_as_vectors_are_read_from_memory_too() -> None:
    point = {"pixel_tiles": 12, "blocks": 2, "channels": 24}
    relayed = pair("qpu_pointwise_relayed", (512, 480, 28), **point)
    rotated = pair("qpu_pointwise_rotated", (512, 480, 28), neighbours="channels", **point)
    streams = [Streams.of(*one, Tiles.of(*one, PATHS), PATHS) for one in (relayed, rotated)]
    assert streams[0].weights == streams[0].tile
    assert streams[1].weights - streams[1].tile == 512 / 2 * 64
    assert streams[1].weights == pytest.approx(streams[0].weights, rel=0.05)  # 16 uniforms and 8 lanes of 24


SEVERAL = [
    pair("qpu_pointwise_streamed", (96, 64, 14), pixel_tiles=4, blocks=1, channels=32),
    pair("qpu_pointwise_blocked", (32, 64, 28), pixel_tiles=2, blocks=2, channels=16),
    pair("qpu_pointwise_relayed", (64, 48, 20), pixel_tiles=6, blocks=2, channels=24),
    pair("qpu_pointwise_rotated", (64, 48, 20), pixel_tiles=3, blocks=2, channels=24, neighbours="pixels"),
    pair(
        "qpu_pointwise_channels", (64, 96, 14), pixel_tiles=3, channels=32, pixels=22, neighbours="channels"
    ),
    pair(
        "qpu_implicit_rotated",
        (24, 44, 13),
        3,
        pixel_tiles=4,
        blocks=2,
        channels=22,
        input_layout="pixel16",
        neighbours="channels",
        depth=24,
    ),
    pair("qpu_implicit_gemm", (16, 24, 14), 3, pixel_tiles=3, blocks=2, channels=12, input_layout="pixel16"),
    pair("qpu_implicit_relayed", (24, 24, 13), 3, pixel_tiles=12, blocks=2, channels=24, input_layout="nchw"),
    pair("qpu_implicit_gemm", (3, 16, 40), 3, pixel_tiles=1, blocks=1, channels=16, input_layout="nchw"),
    pair("qpu_implicit_gemm", (64, 128, 7), pixel_tiles=1, blocks=1, channels=48, input_layout="pixel16"),
]


@pytest.fixture(scope="module")
def board() -> Iterator[Board]:
    with VirtualBoard.open(PROFILE, BoardOptions()) as board:
        yield board


@pytest.mark.parametrize(("candidate", "work"), SEVERAL)
def test_the_virtual_board_takes_about_as_long_and_never_less_than_the_roofline(
    candidate: Candidate, work: Work, board: Board
) -> None:
    job = JobBuilder(TARGET, 0, algorithms()).job(candidate)
    measured = board.measure(job).counters["cycles"]
    assert TileFlow.of(candidate, work, PATHS).cycles == pytest.approx(measured, rel=0.25)
    assert RooflineModel(PROFILE).terms(candidate, work).bound_s * TARGET.v3d_clock_hz <= measured


def test_phases_take_the_sum_of_their_times_and_look_like_the_longest() -> None:
    candidate, _ = pair(
        "qpu_winograd", (64, 64, 28), 3, tile=2, pixel_tiles=2, blocks=2, channels=20, neighbours="pixels"
    )
    phases = algorithm_named("qpu_winograd").phases(candidate.spec, TARGET, candidate.choice)
    flows = [TileFlow.of(phase.candidate, phase.work, PATHS) for phase in phases]
    together = TileFlow.of_phases(phases, PATHS)
    assert len(flows) == 2
    assert together.cycles == pytest.approx(sum(flow.cycles for flow in flows))
    assert together.pipeline == max(flows, key=lambda flow: flow.cycles).pipeline


def test_the_work_of_phases_is_that_of_the_candidate() -> None:
    candidate, work = pair(
        "qpu_winograd", (64, 64, 28), 3, tile=4, pixel_tiles=2, blocks=2, channels=20, neighbours="pixels"
    )
    phases = algorithm_named("qpu_winograd").phases(candidate.spec, TARGET, candidate.choice)
    for name in (
        "macs",
        "alu_instructions",
        "load_instructions",
        "uniform_words",
        "dma_stores",
        "bytes_written",
    ):
        assert sum(getattr(phase.work, name) for phase in phases) == pytest.approx(getattr(work, name))
