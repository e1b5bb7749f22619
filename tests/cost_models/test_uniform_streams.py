"""What tiles share of their uniforms, counted against the streams that the kernels really read."""

from __future__ import annotations

import pytest

from codegen.algorithm import algorithm_named
from codegen.operators.conv2d import Conv2d
from codegen.schedule import Candidate
from cost_models.machine import Machine
from cost_models.uniform_streams import UniformStreams
from microbench.profile import load_profile
from tests.codegen.layers import convolution

PROFILE = load_profile("pi-zero")
TARGET, MACHINE = PROFILE.target(), Machine.of(PROFILE)


def streams(inputs: int, outputs: int, size: int, pixel_tiles: int, channels: int) -> UniformStreams:
    spec = convolution(inputs, outputs, (size, size), Conv2d((1, 1)))
    algorithm = algorithm_named("qpu_pointwise_streamed")
    choice = algorithm.choice(spec, TARGET, {"pixel_tiles": pixel_tiles, "blocks": 1, "channels": channels})
    return UniformStreams.of(Candidate(spec, choice), algorithm.work(spec, TARGET, choice), 12, 4)


def test_all_qpus_on_one_tile_of_channels_read_one_stream() -> None:
    found = streams(16, 32, 56, pixel_tiles=12, channels=32)
    assert found.tile_bytes == found.slice_bytes == found.round_bytes == found.distinct_bytes
    assert found.tile_bytes == pytest.approx(4 * 32 * 17, rel=0.1)  # weights and biases


def test_qpus_on_twelve_tiles_of_channels_read_as_many_streams_four_in_a_slice() -> None:
    found = streams(16, 192, 28, pixel_tiles=1, channels=8)
    assert found.round_bytes == 12 * found.tile_bytes
    assert found.slice_bytes == 4 * 2 * found.tile_bytes  # 24 tiles of channels: two turns
    assert found.distinct_bytes == 24 * found.tile_bytes
    assert found.passes == 49  # tiles of 16 pixels


@pytest.mark.parametrize(("inputs", "channels", "waits"), [(16, 8, False), (512, 52, True)])
def test_what_a_slice_holds_is_waited_for_once(inputs: int, channels: int, waits: bool) -> None:
    path = MACHINE.uniforms
    assert path is not None
    spec = convolution(inputs, channels, (28, 28), Conv2d((1, 1)))
    algorithm = algorithm_named("qpu_pointwise_streamed")
    choice = algorithm.choice(spec, TARGET, {"pixel_tiles": 12, "blocks": 1, "channels": channels})
    work = algorithm.work(spec, TARGET, choice)
    found = UniformStreams.of(Candidate(spec, choice), work, 12, 4)
    assert (found.wait_cycles(work, path, MACHINE.gpu_cache_bytes) > 0) is waits
