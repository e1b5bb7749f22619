"""Layers of two phases on the QPUs: transposed convolutions of any window, and the memory between the phases."""

from __future__ import annotations

from contextlib import suppress

import numpy as np
import pytest

from codegen.algorithm import algorithm_named
from codegen.engines.videocore4.layout import Pixel16
from codegen.engines.videocore4.link import link_single
from codegen.errors import GraphSpecError, ScheduleError
from codegen.expression import RELU
from codegen.graph import LayerSpec
from codegen.operators.conv_transpose2d import ConvTranspose2d
from codegen.schedule import Choice
from tests.codegen.gpu_run import TARGET, random_tensors, relative_error
from tests.codegen.layers import inferred_layer

TRANSPOSED = algorithm_named("qpu_conv_transpose")


def choices(spec: LayerSpec) -> list[Choice]:
    found = []
    for point in TRANSPOSED.space(spec, TARGET).points():
        with suppress(ScheduleError):
            found.append(TRANSPOSED.choice(spec, TARGET, point))
    return found


def layer(op: ConvTranspose2d, inputs: int, outputs: int, size: tuple[int, int]) -> LayerSpec:
    return inferred_layer(op, (1, inputs, *size), weights=((outputs, inputs, *op.kernel), (outputs,)))


def any_layer(rng: np.random.Generator) -> LayerSpec | None:
    """Any window, strides, pads and dilations; None where nothing is left of the planes."""
    kernel, strides, dilations = (
        (int(rng.integers(1, most)), int(rng.integers(1, most))) for most in (5, 4, 3)
    )
    extents = [(size - 1) * dilation + 1 for size, dilation in zip(kernel, dilations, strict=True)]
    top, left, bottom, right = (int(rng.integers(0, extents[axis % 2])) for axis in range(4))
    beyond = (int(rng.integers(0, strides[0])), int(rng.integers(0, strides[1])))
    op = ConvTranspose2d(kernel, strides, (top, left, bottom, right), beyond, dilations)
    size = int(rng.integers(1, 9)), int(rng.integers(1, 9))
    with suppress(GraphSpecError):
        return layer(op, int(rng.integers(2, 12)), int(rng.integers(1, 30)), size)
    return None


@pytest.mark.parametrize("seed", range(10))
def test_any_window_and_strides(seed: int) -> None:
    rng = np.random.default_rng(seed)
    spec = any_layer(rng)
    while spec is None:
        spec = any_layer(rng)
    found = choices(spec)
    assert relative_error(spec, found[rng.integers(len(found))], seed) < 2e-5


@pytest.mark.parametrize(
    "op",
    [
        ConvTranspose2d((2, 2), (2, 2)),
        ConvTranspose2d((4, 4), (2, 2), (1, 1, 1, 1)),
        ConvTranspose2d((3, 3), (2, 2), (1, 1, 1, 1), (1, 1), epilogue=RELU),
    ],
)
def test_what_doubles_planes(op: ConvTranspose2d) -> None:
    spec = layer(op, 9, 12, (5, 7))
    for choice in choices(spec)[::3]:
        assert relative_error(spec, choice) < 2e-5


def test_a_phase_without_taps_has_its_bias() -> None:
    spec = layer(ConvTranspose2d((1, 1), (3, 2)), 4, 8, (4, 5))
    assert relative_error(spec, choices(spec)[0]) < 2e-5


def test_scratch_lies_between_weights_and_activations() -> None:
    spec = layer(ConvTranspose2d((2, 2), (2, 2)), 4, 8, (6, 6))
    choice = choices(spec)[0]
    layer_ = TRANSPOSED.lower(spec, TARGET, choice, random_tensors(spec, 0)[1])  # type: ignore[attr-defined]
    sizes = [Pixel16().size_bytes(tensor) for tensor in (*spec.inputs, *spec.outputs)]
    program = link_single(layer_, sizes[:1], sizes[1:], TARGET.qpus)
    (scratch,) = program.scratch
    assert 4 * len(program.words) < scratch.offset_bytes
    ends = scratch.offset_bytes + scratch.size_bytes
    assert all(ends < region.offset_bytes for region in (*program.inputs, *program.outputs))
    assert scratch.size_bytes == layer_.scratch_bytes and program.launches[0].layers == ("layer", "layer")
