"""Long sums are added up in parts: how loops are cut, and that the rounding of every dense kernel shows it."""

from __future__ import annotations

import ctypes
from contextlib import suppress

import numpy as np
import pytest

from codegen.algorithm import algorithms
from codegen.engine_registry import layout_named
from codegen.engines.cpu.algorithm import CpuAlgorithm
from codegen.engines.cpu.partial_sums import Parts, summed
from codegen.engines.cpu.toolchain import KERNEL_FLAGS, compile_shared
from codegen.errors import ScheduleError
from codegen.graph import LayerSpec
from codegen.operators.conv2d import Conv2d
from codegen.operators.fully_connected import FullyConnected
from codegen.reference import evaluate_layer
from codegen.schedule import Choice, Point
from codegen.target import Target
from tests.codegen.cpu_run import AVX2, HOST, NEON, SCALAR, call
from tests.codegen.layers import convolution, inferred_layer

TARGETS = {target.name: target for target in (HOST, AVX2, NEON, SCALAR)}
POINTWISE = convolution(2048, 32, (3, 5), Conv2d((1, 1)))
WINDOWS = convolution(200, 32, (7, 7), Conv2d((3, 3), (1, 1), (1, 1, 1, 1)))
DEEP_WINDOWS = convolution(600, 32, (7, 7), Conv2d((3, 3), (1, 1), (1, 1, 1, 1)))
GROUPS = convolution(400, 32, (5, 5), Conv2d((3, 3), (1, 1), (1, 1, 1, 1), groups=2))
CONNECTED = inferred_layer(FullyConnected(), (1, 4096), weights=((400, 4096), (400,)))
ALLOWED = 4e-7
"""Root mean square of the error over that of the results: sums one after another have 4.4e-7 to 1.3e-6 there."""
LAYERS: dict[str, tuple[str, LayerSpec, Point]] = {
    "pointwise": ("cpu_blocked_conv", POINTWISE, {}),
    "windows": ("cpu_blocked_conv", WINDOWS, {}),
    "table": ("cpu_blocked_indirect", WINDOWS, {"offsets": "table"}),
    "table of deep windows": ("cpu_blocked_indirect", DEEP_WINDOWS, {"offsets": "table"}),
    "literals": ("cpu_blocked_indirect", WINDOWS, {"offsets": "literals"}),
    "literals of deep windows": ("cpu_blocked_indirect", DEEP_WINDOWS, {"offsets": "literals"}),
    "Winograd": ("cpu_blocked_winograd", DEEP_WINDOWS, {}),
    "fully connected": ("cpu_blocked_fully_connected", CONNECTED, {}),
    "gemm": ("cpu_pointwise_gemm", POINTWISE, {"k_block": 2048}),
    "gemm of blocks": ("cpu_pointwise_gemm", POINTWISE, {"k_block": 256}),
    "im2col": ("cpu_conv_im2col", WINDOWS, {}),
    "groups": ("cpu_conv_direct", GROUPS, {}),
}


def first_choice(algorithm: CpuAlgorithm, spec: LayerSpec, target: Target, wanted: Point) -> Choice | None:
    """The first point with a kernel in one thread where the axes have the values that are wanted."""
    if not algorithm.applies(spec, target):
        return None
    for point in algorithm.space(spec, target).points():
        if point["threads"] == 1 and all(point[axis] == value for axis, value in wanted.items()):
            with suppress(ScheduleError):
                return algorithm.choice(spec, target, point)
    return None


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("layer", LAYERS)
def test_rounding_is_that_of_parts(layer: str, target: str) -> None:
    name, spec, wanted = LAYERS[layer]
    algorithm = algorithms()[name]
    assert isinstance(algorithm, CpuAlgorithm)
    choice = first_choice(algorithm, spec, TARGETS[target], wanted)
    if choice is None:
        assert name == "cpu_blocked_indirect" and target == "host"  # more registers than it is for
        return
    random = np.random.default_rng(7)
    x = random.normal(size=spec.inputs[0].shape).astype(np.float32)
    weights = [
        (random.normal(size=tensor.shape) / np.sqrt(np.prod(tensor.shape[1:]))).astype(np.float32)
        for tensor in spec.weights
    ]
    weights[1] *= 0.1
    program = algorithm.emit(spec, TARGETS[target], choice, weights, "kernel")
    flags = ("-Wall", "-Wextra", "-Werror", *KERNEL_FLAGS)
    library = ctypes.CDLL(str(compile_shared({"kernel.c": program.source}, HOST, flags)))
    (image,) = call(library, program, [layout_named(choice.input_layouts[0]).pack(x)])
    result = layout_named(choice.output_layout).unpack(image, spec.output)
    (expected,) = evaluate_layer(spec, [x], weights)
    error = float(np.sqrt(np.mean((result - expected) ** 2)) / np.std(expected))
    assert error < ALLOWED


def test_loops_are_cut_into_equal_parts_of_about_the_limit() -> None:
    assert Parts.of(16, 16, 16) == Parts(16, 8)  # 256 products in two parts of 128
    assert Parts.of(11, 16, 16) == Parts(11, 11)  # 176 are nearer to one part than to two
    assert Parts.of(128, 4, 4) == Parts(128, 64)
    assert Parts.of(5, 1000, 4) == Parts(5, 1)
    assert Parts.of(0, 16, 16).count == 0
    assert (Parts(7, 3).count, Parts(7, 3).last) == (3, 1)
    assert (Parts(6, 3).count, Parts(6, 3).last) == (2, 3)


def test_one_part_is_the_loop_alone() -> None:
    assert summed(Parts(4, 4), "vec4", ["a"], lambda count: f"{count} steps") == "4 steps"
