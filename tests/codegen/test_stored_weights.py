"""Weights that programs store narrow: their values, the space that offers them, and kernels that unpack them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codegen.algorithm import algorithm_named, algorithms
from codegen.engine_registry import layout_named
from codegen.engines.videocore4.algorithm import QpuAlgorithm
from codegen.engines.videocore4.link import link_single
from codegen.errors import ScheduleError
from codegen.expression import RELU
from codegen.graph import LayerSpec
from codegen.operators.conv2d import Conv2d
from codegen.operators.fully_connected import FullyConnected
from codegen.reference import evaluate_layer
from codegen.schedule import Choice
from codegen.stored_weights import WEIGHTS, bytes_of, halves, stored, weight_type
from codegen.target import Target, WeightType
from microbench.profile import load_profile
from microbench.virtual import Execution
from tests.codegen.algorithm_layers import LAYERS as ALL_LAYERS
from tests.codegen.gpu_run import TARGET, execute, random_tensors
from tests.codegen.layers import convolution, inferred_layer

FULLY_CONNECTED = inferred_layer(FullyConnected(RELU), (2, 96), weights=((77, 96), (77,)))
FEW_OUTPUTS = inferred_layer(FullyConnected(), (1, 32), weights=((5, 32), (5,)))
POINTWISE = convolution(104, 100, (11, 9), Conv2d((1, 1), epilogue=RELU))
GROUPS = convolution(24, 96, (9, 5), Conv2d((1, 1), groups=2))
WINDOW = convolution(6, 40, (9, 11), Conv2d((3, 3), pads=(1, 1, 1, 1)))
LAYERS: dict[str, tuple[str, LayerSpec, WeightType]] = {
    "fully connected, halves": ("qpu_fully_connected", FULLY_CONNECTED, "float16"),
    "fully connected, bytes": ("qpu_fully_connected", FULLY_CONNECTED, "int8"),
    "few outputs, halves": ("qpu_fully_connected", FEW_OUTPUTS, "float16"),
    "few outputs, bytes": ("qpu_fully_connected", FEW_OUTPUTS, "int8"),
    "pointwise": ("qpu_pointwise_channels", POINTWISE, "float16"),
    "groups": ("qpu_pointwise_channels", GROUPS, "float16"),
    "sum": ("qpu_pointwise_channels", ALL_LAYERS["residual of two images in groups"], "float16"),
    "unfolded": ("qpu_im2col_channels", WINDOW, "float16"),
}
EXACT = 3e-5  # of the largest output: the kernels' own rounding
ROUNDED: dict[WeightType, float] = {"float16": 1e-3, "int8": 3e-2}


def choices(name: str, spec: LayerSpec, target: Target) -> list[Choice]:
    algorithm = algorithm_named(name)
    found = []
    for point in algorithm.space(spec, target).points():
        try:
            found.append(algorithm.choice(spec, target, point))
        except ScheduleError:
            continue
    return found


def run(
    spec: LayerSpec, target: Target, choice: Choice, profile: str = "pi-zero"
) -> tuple[float, float, list[Execution]]:
    """Largest errors beside the layer with rounded weights and with its own, over the largest output."""
    algorithm = algorithm_named(choice.algorithm)
    assert isinstance(algorithm, QpuAlgorithm)
    inputs, weights = random_tensors(spec, 5)
    layouts = [layout_named(name) for name in choice.input_layouts]
    result = layout_named(choice.output_layout)
    program = link_single(
        algorithm.lower(spec, target, choice, weights),
        [layout.size_bytes(tensor) for layout, tensor in zip(layouts, spec.inputs, strict=True)],
        [result.size_bytes(spec.output)],
        target.qpus,
    )
    images = [layout.pack(value) for layout, value in zip(layouts, inputs, strict=True)]
    (memory,), runs = execute(program, images, load_profile(profile))
    found = result.unpack(memory, spec.output)
    errors = []
    for own in (stored(weights, choice), weights):
        (expected,) = evaluate_layer(spec, inputs, own)
        errors.append(float(np.abs(found - expected).max() / np.abs(expected).max()))
    return errors[0], errors[1], runs


@pytest.mark.parametrize(("name", "spec", "kind"), LAYERS.values(), ids=LAYERS)
@pytest.mark.parametrize(("profile", "qpus"), [("pi-zero", 12), ("pi-1", 5), ("pi-3", 1), ("pi-zero", 6)])
def test_sums_of_rounded_weights(
    name: str, spec: LayerSpec, kind: WeightType, profile: str, qpus: int
) -> None:
    target = replace(load_profile(profile).target(), qpus=qpus, weights=kind)
    found = choices(name, spec, target)
    assert {weight_type(choice) for choice in found} == {kind}
    for choice in (found[0], found[len(found) // 2], found[-1]):
        of_rounded, of_own, runs = run(spec, target, choice, profile)
        assert of_rounded < EXACT
        assert of_rounded < of_own < ROUNDED[kind]
        assert all(one.stale_reads == 0 for one in runs)


@pytest.mark.parametrize("pace", ["free", "in_step"])
@pytest.mark.parametrize(
    ("pixels", "side"), [(17, (7, 7)), (19, (11, 12)), (22, (11, 12)), (25, (7, 7)), (26, (13, 4))]
)
def test_every_number_of_pixels(pixels: int, side: tuple[int, int], pace: str) -> None:
    spec = convolution(104, 192, side, Conv2d((1, 1)))
    target = replace(TARGET, weights="float16")
    algorithm = algorithm_named("qpu_pointwise_channels")
    point = {"pixel_tiles": 2, "channels": 32, "neighbours": "channels", "pace": pace, "weights": "float16"}
    of_rounded, _, _ = run(spec, target, algorithm.choice(spec, target, {**point, "pixels": pixels}))
    assert of_rounded < EXACT


def test_half_of_the_weights_bytes_are_read() -> None:
    spec = inferred_layer(FullyConnected(), (1, 256), weights=((256, 256), (256,)))
    read = []
    for kind in ("float32", "float16", "int8"):
        target = replace(TARGET, weights=kind)
        *_, (execution,) = run(spec, target, choices("qpu_fully_connected", spec, target)[-1])
        read.append(execution.counters["tmu_sdram_bytes"])
    assert read[1] < 0.55 * read[0]
    assert read[2] < 0.3 * read[0]


def test_nobody_offers_what_was_not_asked_for() -> None:
    for spec in ALL_LAYERS.values():
        for algorithm in algorithms().values():
            if algorithm.applies(spec, TARGET):
                assert WEIGHTS not in {axis.name for axis in algorithm.space(spec, TARGET).axes}


@pytest.mark.parametrize(
    ("name", "spec", "kind"),
    [
        ("qpu_pointwise_channels", POINTWISE, "int8"),
        ("qpu_pointwise_channels", convolution(7, 64, (7, 7), Conv2d((1, 1))), "float16"),
        ("qpu_fully_connected", inferred_layer(FullyConnected(), (1, 98), weights=((9, 98), (9,))), "int8"),
        (
            "qpu_winograd_channels",
            convolution(16, 32, (16, 16), Conv2d((3, 3), pads=(1, 1, 1, 1))),
            "float16",
        ),
    ],
)
def test_what_cannot_be_unpacked_stays_float32(name: str, spec: LayerSpec, kind: WeightType) -> None:
    found = choices(name, spec, replace(TARGET, weights=kind))
    assert found
    assert {weight_type(choice) for choice in found} == {"float32"}


@settings(deadline=None)
@given(st.lists(st.floats(-65504, 65504, width=32), min_size=1, max_size=20))
def test_halves_are_normal_and_the_nearest(numbers: list[float]) -> None:
    values = np.array(numbers, np.float32)
    found = halves(values).astype(np.float64)
    assert np.all((found == 0) | (np.abs(found) >= 2.0**-14))
    assert np.all(np.abs(found - values) <= np.maximum(2.0**-15, np.abs(values) * 2.0**-11))


def test_a_weight_that_is_no_half_float_is_refused() -> None:
    with pytest.raises(ScheduleError, match="half float"):
        halves(np.array([1.0, -65520.0], np.float32))


@settings(deadline=None)
@given(st.lists(st.floats(-8, 8, width=32), min_size=4, max_size=4))
def test_bytes_are_the_nearest_steps(numbers: list[float]) -> None:
    values = np.array(numbers, np.float32).reshape(2, 2)
    found = bytes_of(values)
    back = (found.values.astype(np.float64) - 128) * found.scales[:, None]
    assert np.all(np.abs(back - values) <= 0.5001 * found.scales[:, None])
    assert found.values.min() >= 1
