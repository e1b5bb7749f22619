"""Seven products of matrices in place of eight: which layers have them, what they cost, and how much they round."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import suppress

import numpy as np
import pytest

from codegen.algorithm import algorithms
from codegen.engine_registry import layout_named
from codegen.engines.cpu.blocked.strassen import CpuBlockedStrassen
from codegen.engines.cpu.toolchain import KERNEL_FLAGS, compile_shared
from codegen.errors import ScheduleError
from codegen.graph import LayerSpec
from codegen.operators.conv2d import Conv2d
from codegen.reference import evaluate_layer
from codegen.schedule import Choice
from codegen.target import Target
from tests.codegen.cpu_run import AVX2, HOST, NEON, SCALAR, call
from tests.codegen.layers import convolution

TARGETS = {target.name: target for target in (HOST, AVX2, NEON)}
RMS_ERROR, WORST_ERROR = (
    6e-7,
    1e-5,
)  # of 2,048 products, over the results' root mean square: 4e-7 and 3e-6 are seen
POINTWISE = Conv2d((1, 1))


def kernels(spec: LayerSpec, target: Target) -> Iterator[tuple[CpuBlockedStrassen, Choice]]:
    """Every kernel of a layer in one thread."""
    algorithm = algorithms()["cpu_blocked_strassen"]
    assert isinstance(algorithm, CpuBlockedStrassen)
    for point in algorithm.space(spec, target).points():
        if point["threads"] == 1:
            with suppress(ScheduleError):
                yield algorithm, algorithm.choice(spec, target, point)


def test_cores_without_vectors_have_none() -> None:
    spec, algorithm = convolution(128, 128, (5, 5), POINTWISE), algorithms()["cpu_blocked_strassen"]
    assert isinstance(algorithm, CpuBlockedStrassen)
    assert algorithm.computes(spec, HOST)
    assert not algorithm.computes(spec, SCALAR)


@pytest.mark.parametrize("target", TARGETS)
def test_errors_stay_near_those_of_plain_sums(target: str) -> None:
    spec = convolution(2048, 96, (5, 5), POINTWISE)
    algorithm, choice = next(kernels(spec, TARGETS[target]))
    random = np.random.default_rng(7)
    x = random.normal(size=spec.inputs[0].shape).astype(np.float32)
    weights = [
        (random.normal(size=tensor.shape) / np.sqrt(np.prod(tensor.shape[1:]))).astype(np.float32)
        for tensor in spec.weights
    ]
    program = algorithm.emit(spec, TARGETS[target], choice, weights, "kernel")
    library = ctypes.CDLL(str(compile_shared({"kernel.c": program.source}, HOST, KERNEL_FLAGS)))
    (image,) = call(library, program, [layout_named(choice.input_layouts[0]).pack(x)])
    found = layout_named(choice.output_layout).unpack(image, spec.output)
    (reference,) = evaluate_layer(spec, (x,), tuple(weights))
    error, size = found - reference, np.sqrt(np.mean(reference**2))
    assert np.sqrt(np.mean(error**2)) <= RMS_ERROR * size
    assert np.abs(error).max() <= WORST_ERROR * size


def test_an_eighth_of_the_products_is_saved_for_more_weights() -> None:
    spec = convolution(256, 128, (6, 8), POINTWISE)
    values = [np.zeros(tensor.shape, dtype=np.float32) for tensor in spec.weights]
    for algorithm, choice in kernels(spec, NEON):
        assert algorithm.work(spec, NEON, choice).macs == spec.output.elements * 256 * 7 / 8
        program = algorithm.emit(spec, NEON, choice, values, "kernel")
        assert program.weights.size == 256 * 128 * 7 / 4 + 128


@pytest.mark.parametrize("size", [(7, 7), (1, 17), (6, 9)])
def test_the_pixel_in_the_middle_of_odd_planes_is_computed_twice(size: tuple[int, int]) -> None:
    spec = convolution(96, 96, size, POINTWISE)
    pairs = -(-size[0] * size[1] // 2)
    works = [algorithm.work(spec, HOST, choice) for algorithm, choice in kernels(spec, HOST)]
    assert {work.macs for work in works} == {7 * pairs * 48 * 48}


@pytest.mark.parametrize(
    ("inputs", "outputs", "size", "op"),
    [
        (100, 128, (7, 7), POINTWISE),  # halves of blocks
        (128, 144, (7, 7), POINTWISE),
        (64, 256, (14, 14), POINTWISE),  # few channels, few pixels
        (256, 64, (14, 14), POINTWISE),
        (512, 512, (3, 5), POINTWISE),
        (128, 128, (14, 14), Conv2d((1, 1), (2, 2))),  # no product of matrices
        (128, 128, (14, 14), Conv2d((3, 3), pads=(1, 1, 1, 1))),
        (256, 256, (14, 14), Conv2d((1, 1), groups=2)),
    ],
)
def test_other_layers_are_left_to_others(
    inputs: int, outputs: int, size: tuple[int, int], op: Conv2d
) -> None:
    lanes_of_16 = CpuBlockedStrassen(16)
    assert lanes_of_16.applies(convolution(128, 256, (7, 7), POINTWISE), HOST)
    assert not lanes_of_16.applies(convolution(inputs, outputs, size, op), HOST)
