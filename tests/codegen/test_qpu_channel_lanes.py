"""Pointwise convolutions with channels on the lanes: tiles of any number of pixels, and QPUs that keep in step."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from codegen.algorithm import algorithm_named
from codegen.engine_registry import layout_named
from codegen.engines.videocore4.algorithm import QpuAlgorithm
from codegen.engines.videocore4.algorithms.channel_lanes import PIXELS, PixelTiles
from codegen.engines.videocore4.algorithms.gemm import group_of
from codegen.engines.videocore4.kernels.channel_lanes import GATHERED, PAUSE
from codegen.engines.videocore4.kernels.rotated import STREAMED
from codegen.engines.videocore4.layout import LANES, LINE_BYTES
from codegen.engines.videocore4.link import WAY_BYTES, LinkedLayer, link, link_single
from codegen.engines.videocore4.memory import GPU_MEMORY
from codegen.errors import ScheduleError
from codegen.graph import LayerSpec
from codegen.operators.conv2d import Conv2d
from codegen.placement import Placement
from codegen.schedule import Point
from microbench.virtual import Execution
from tests.codegen.gpu_run import TARGET, execute, random_tensors, relative_error
from tests.codegen.layers import convolution, inferred_layer

ALGORITHM = algorithm_named("qpu_pointwise_channels")
LAYER = convolution(128, 192, (11, 12), Conv2d((1, 1)))


def point_of(pixels: int, pace: str | None = None) -> Point:
    point: Point = {"pixel_tiles": 3, "channels": 32, "neighbours": "channels", "pixels": pixels}
    return point if pace is None else {**point, "pace": pace}


def execution_of(spec: LayerSpec, point: Point) -> Execution:
    assert isinstance(ALGORITHM, QpuAlgorithm)
    choice = ALGORITHM.choice(spec, TARGET, point)
    inputs, weights = random_tensors(spec, 2)
    layout = layout_named("pixel16")
    program = link_single(
        ALGORITHM.lower(spec, TARGET, choice, weights),
        [layout.size_bytes(tensor) for tensor in spec.inputs],
        [layout.size_bytes(spec.output)],
        TARGET.qpus,
    )
    _, (run,) = execute(program, [layout.pack(value) for value in inputs])
    return run


@pytest.mark.parametrize("gathered", [count for count in GATHERED if STREAMED + count <= max(PIXELS)])
@pytest.mark.parametrize("depth", [6, 7])
def test_any_number_of_gathered_pixels(gathered: int, depth: int) -> None:
    pixels = STREAMED + gathered
    spec = convolution(depth, 32, (1, 2 * pixels), Conv2d((1, 1)))
    choice = ALGORITHM.choice(spec, replace(TARGET, qpus=1), {**point_of(pixels), "pixel_tiles": 1})
    assert relative_error(spec, choice) < 1e-5


@pytest.mark.parametrize("gathered", GATHERED)
@pytest.mark.parametrize("count", [17, 49, 196])
def test_pixels_by_tile_have_places_of_their_own(gathered: int, count: int) -> None:
    (_, geometry) = group_of(convolution(6, 32, (1, count), Conv2d((1, 1))))
    tiles = PixelTiles(geometry, STREAMED + gathered, 1, in_step=False, by_tile=True)
    places = tiles.places
    assert len(set(places)) == count
    assert max(places) < LANES * geometry.output_blocks
    if any(places != range(count)):
        for tile in range(tiles.tiles):
            assert len(set(places[tiles.of(tile)[STREAMED:]] // LANES)) == 1


def test_qpus_in_step_have_uniforms_in_the_l2_when_they_are_read() -> None:
    free, in_step = (execution_of(LAYER, point_of(22, pace)).counters for pace in ("free", "in_step"))
    assert in_step["uniform_sdram_bytes"] < 0.2 * free["uniform_sdram_bytes"]


@pytest.mark.parametrize("depth", [96, 97, 96 + PAUSE, 97 + PAUSE])
def test_the_channels_behind_the_pause_are_summed_once(depth: int) -> None:
    spec = convolution(depth, 160, (9, 13), Conv2d((1, 1)))
    assert relative_error(spec, ALGORITHM.choice(spec, TARGET, point_of(24, "in_step"))) < 1e-5


@pytest.mark.parametrize(
    "spec",
    [
        convolution(95, 192, (11, 12), Conv2d((1, 1))),
        convolution(256, 192, (11, 12), Conv2d((1, 1), groups=2)),
        inferred_layer(Conv2d((1, 1)), (2, 128, 11, 12), weights=((192, 128, 1, 1), (192,))),
    ],
    ids=["few channels", "groups", "images"],
)
def test_what_is_not_in_step(spec: LayerSpec) -> None:
    assert "pace" not in {axis.name for axis in ALGORITHM.space(spec, TARGET).axes}


@pytest.mark.parametrize("qpus", [1, 17])
def test_numbers_of_qpus_that_are_not_in_step(qpus: int) -> None:
    axes = ALGORITHM.space(LAYER, replace(TARGET, qpus=qpus)).axes
    assert "pace" not in {axis.name for axis in axes}


def test_a_layer_of_several_launches_is_not_in_step() -> None:
    point = point_of(22, "in_step")
    work = ALGORITHM.work(LAYER, TARGET, ALGORITHM.choice(LAYER, TARGET, point))
    slow = replace(TARGET, launch_limit_s=8 * work.instructions / TARGET.qpus / TARGET.v3d_clock_hz)
    with pytest.raises(ScheduleError, match="one launch"):
        ALGORITHM.choice(LAYER, slow, point)
    ALGORITHM.choice(LAYER, slow, point_of(22, "free"))


@pytest.mark.parametrize("before", [(), (100,), (100, 3000, 9000)])
def test_weights_in_step_lie_from_their_input_as_if_they_were_alone(before: tuple[int, ...]) -> None:
    """Whatever buffers and weights there are besides."""
    assert isinstance(ALGORITHM, QpuAlgorithm)
    choice = ALGORITHM.choice(LAYER, TARGET, point_of(22, "in_step"))
    layer = ALGORITHM.lower(LAYER, TARGET, choice, random_tensors(LAYER, 2)[1])
    assert layer.apart is not None
    free = replace(layer, apart=None)
    others = [
        LinkedLayer(f"other{words}", replace(free, weights=np.full(words, words, np.uint32)), ("x",), ("y",))
        for words in before
    ]
    sizes = {"other": sum(before), "x": 1 << 20, "y": 1 << 20}
    launch = [*others, LinkedLayer("layer", layer, ("x",), ("y",))]
    program = link([launch], Placement.side_by_side(sizes, GPU_MEMORY), ("x",), ("y",), TARGET.qpus)
    first = layer.weights[:64].tobytes()
    begin = program.words.tobytes().index(first, program.weights_offset_bytes)
    assert (program.inputs[0].offset_bytes - begin - layer.apart) % WAY_BYTES == 0


def test_weights_in_step_take_the_same_room_wherever_they_lie() -> None:
    assert isinstance(ALGORITHM, QpuAlgorithm)
    choice = ALGORITHM.choice(LAYER, TARGET, point_of(22, "in_step"))
    layer = ALGORITHM.lower(LAYER, TARGET, choice, random_tensors(LAYER, 2)[1])
    sizes = {"x": 1 << 20, "y": 1 << 20}
    taken = set()
    for apart in range(0, WAY_BYTES, LINE_BYTES * 16):
        linked = LinkedLayer("layer", replace(layer, apart=apart), ("x",), ("y",))
        program = link([[linked]], Placement.side_by_side(sizes, GPU_MEMORY), ("x",), ("y",), TARGET.qpus)
        taken.add(program.size_bytes)
    assert len(taken) == 1
