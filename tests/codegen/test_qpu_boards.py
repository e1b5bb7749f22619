"""Row-major tensors and residuals on every board of the family, with any number of QPUs, on batches."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

import numpy as np
import pytest

from codegen.algorithm import algorithm_named
from codegen.engine_registry import layout_named
from codegen.engines.videocore4.algorithm import QpuAlgorithm
from codegen.engines.videocore4.kernels.broadcast import broadcast_kernel, turns
from codegen.engines.videocore4.kernels.contraction import ahead_of, contraction_kernel
from codegen.engines.videocore4.link import link_single
from codegen.errors import ScheduleError
from codegen.expression import RESULT, Expression, Operand, clamp
from codegen.graph import LayerSpec
from codegen.operators.contraction import Contraction
from codegen.operators.conv2d import Conv2d
from codegen.operators.elementwise import Map
from codegen.operators.fully_connected import FullyConnected
from codegen.operators.literal import Literal
from codegen.operators.reduction import AlongAxis, Reduce
from codegen.operators.softmax import Softmax
from codegen.reference import evaluate_layer
from codegen.schedule import Choice
from codegen.target import Target
from microbench.profile import load_profile
from tests.codegen import algorithm_layers
from tests.codegen.gpu_run import execute, random_tensors
from tests.codegen.layers import convolution, inferred_layer

LAYERS = {
    "classes": ("qpu_softmax", inferred_layer(Softmax(1), (1, 1000))),
    "heads": ("qpu_softmax", inferred_layer(Softmax(3), (2, 3, 7, 70))),
    "channels": ("qpu_softmax", inferred_layer(AlongAxis("log_softmax", 1), (2, 37, 3, 9))),
    "planes": ("qpu_reduce", inferred_layer(Reduce("mean", (2, 3), True), (2, 19, 7, 7))),
    "pixels": ("qpu_reduce", inferred_layer(Reduce("min", (1,), False), (2, 19, 7, 7))),
    "outer": ("qpu_reduce", inferred_layer(Reduce("sum", (0, 2), False), (9, 21, 5))),
    "normalized rows": (
        "qpu_broadcast",
        inferred_layer(Map((Operand(0) - Operand(1)) * Operand(2)), (2, 9, 21), (2, 9, 1), weights=((21,),)),
    ),
    "few words": ("qpu_broadcast", inferred_layer(Map(Operand(0) + Operand(1)), (3, 1), (1, 2))),
    "constant": ("qpu_broadcast", inferred_layer(Literal(), weights=((2, 9, 5),))),
    "scores": (
        "qpu_contraction",
        inferred_layer(Contraction(("bhik", "bhjk"), "bhij"), (2, 3, 19, 8), (2, 3, 17, 8)),
    ),
    "rows of several": (
        "qpu_contraction",
        inferred_layer(Contraction(("bik", "kj"), "bij"), (2, 5, 7), (7, 5)),
    ),
    "one output": ("qpu_fully_connected", inferred_layer(FullyConnected(), (2, 9), weights=((1, 9), (1,)))),
    **{
        f"tiles of many channels by {name}": (
            name,
            convolution(130, 33, (9, 9), Conv2d((3, 3), pads=(1, 1, 1, 1))),
        )
        for name in ("qpu_winograd", "qpu_winograd_channels")
    },
    "in step": (
        "qpu_pointwise_channels",
        convolution(100, 192, (11, 12), Conv2d((1, 1), epilogue=clamp(RESULT, 0.0, 6.0))),
    ),
    "in step, odd": ("qpu_pointwise_channels", convolution(99, 170, (11, 12), Conv2d((1, 1)))),
    **{
        f"{layer} by {name}": (name, algorithm_layers.LAYERS[layer])
        for layer, names in (
            (
                "residual of two images",
                ("qpu_pointwise_blocked", "qpu_pointwise_streamed", "qpu_pointwise_relayed"),
            ),
            ("residual of two images", ("qpu_pointwise_rotated", "qpu_implicit_gemm")),
            ("residual of two images in groups", ("qpu_pointwise_channels",)),
            ("tiles of two images", ("qpu_winograd",)),
            ("tiles by channels", ("qpu_winograd_channels",)),
            ("unfolded, two images", ("qpu_im2col_channels",)),
            ("products of matrices", ("qpu_matrix_product",)),
            ("rows of several by one matrix", ("qpu_matrix_product",)),
            ("scores of attention", ("qpu_matrix_product",)),
            ("weighted values", ("qpu_matrix_product",)),
            ("fully connected, many rows", ("qpu_fully_connected_rows", "qpu_fully_connected_few_rows")),
            ("fully connected, a few rows", ("qpu_fully_connected_few_rows",)),
            ("unfolded, and its input", ("qpu_im2col_channels",)),
            ("depthwise of two images", ("qpu_depthwise_rotated",)),
            ("depthwise, strided", ("qpu_depthwise_rotated",)),
            ("separable", ("qpu_separable",)),
            ("separable, halved", ("qpu_separable",)),
            ("separable of two images and a sum", ("qpu_separable",)),
            ("separable with its own input", ("qpu_separable",)),
            ("expanded, two images", ("qpu_expand_depthwise",)),
            ("expanded, halved", ("qpu_expand_depthwise",)),
            ("scaled concatenation", ("qpu_scaled_concat",)),
            ("scaled concatenation of two images, one twice", ("qpu_scaled_concat",)),
            ("stem", ("qpu_stem",)),
            ("stem of two images, padded", ("qpu_stem",)),
            ("stem of two channels", ("qpu_stem",)),
            ("stem of many taps", ("qpu_planes_pool",)),
            ("stem of many taps, two images", ("qpu_planes_pool",)),
            ("stem with a depthwise behind", ("qpu_stem_depthwise",)),
            ("stem with a depthwise behind, two images", ("qpu_stem_depthwise",)),
            ("chain with its own input", ("qpu_implicit_relayed", "qpu_implicit_rotated")),
            ("two images of three planes", ("qpu_planes",)),
            ("planes by lines", ("qpu_planes",)),
            ("borders wider than windows", ("qpu_planes",)),
            ("tiles of two images and a sum", ("qpu_winograd", "qpu_winograd_channels")),
            ("strided tiles", ("qpu_winograd_strided",)),
            ("strided tiles of two images and a sum", ("qpu_winograd_strided",)),
            ("tiles and their own input", ("qpu_winograd", "qpu_winograd_channels")),
        )
        for name in names
    },
}


def last_choice(name: str, spec: LayerSpec, target: Target) -> Choice:
    """Of the space that with the largest tile."""
    algorithm = algorithm_named(name)
    for point in reversed(list(algorithm.space(spec, target).points())):
        with suppress(ScheduleError):
            return algorithm.choice(spec, target, point)
    raise AssertionError(f"{name} offers nothing for {spec.describe()}")


@pytest.mark.parametrize(("name", "spec"), LAYERS.values(), ids=LAYERS)
@pytest.mark.parametrize(("profile", "qpus"), [("pi-zero", 12), ("pi-1", 5), ("pi-3", 1), ("pi-zero", 6)])
def test_any_board_and_number_of_qpus(name: str, spec: LayerSpec, profile: str, qpus: int) -> None:
    board = load_profile(profile)
    target = replace(board.target(), qpus=qpus)
    choice = last_choice(name, spec, target)
    algorithm = algorithm_named(name)
    assert isinstance(algorithm, QpuAlgorithm)
    inputs, weights = random_tensors(spec, 3)
    layouts, result = (
        [layout_named(name) for name in choice.input_layouts],
        layout_named(choice.output_layout),
    )
    program = link_single(
        algorithm.lower(spec, target, choice, weights),
        [layout.size_bytes(tensor) for layout, tensor in zip(layouts, spec.inputs, strict=True)],
        [result.size_bytes(spec.output)],
        qpus,
    )
    images = [layout.pack(value) for layout, value in zip(layouts, inputs, strict=True)]
    (found,), runs = execute(program, images, board)
    (expected,) = evaluate_layer(spec, inputs, weights)
    assert np.abs(result.unpack(found, spec.output) - expected).max() <= 1e-3 * np.abs(expected).max()
    assert all(run.stale_reads == 0 for run in runs)


@pytest.mark.parametrize("name", ["qpu_broadcast", "qpu_contraction"])
def test_row_major_results_are_no_part_of_blocks(name: str) -> None:
    target = load_profile("pi-zero").target()
    spec = next(spec for own, spec in LAYERS.values() if own == name)
    algorithm = algorithm_named(name)
    assert isinstance(algorithm, QpuAlgorithm)
    _, weights = random_tensors(spec, 0)
    with pytest.raises(ScheduleError, match="nchw"):
        algorithm.lower(spec, target, last_choice(name, spec, target), weights, output_lines=20)


def test_operands_by_table_are_asked_for_first() -> None:
    assert turns(2, [False, True]) == [(0, 1), (1, 1), (0, 0), (1, 0)]


@pytest.mark.parametrize("count", range(1, 40))
def test_requests_ahead_fit_the_queues(count: int) -> None:
    ahead = ahead_of(count)
    assert 1 <= ahead <= 8
    for first in range(count):
        window = [(first + i) % count % 2 for i in range(ahead)]
        assert max(window.count(0), window.count(1)) <= 4


def test_kernels_that_lack_registers_or_requests_are_refused() -> None:
    with pytest.raises(ScheduleError):
        contraction_kernel(32, 1, True)
    sums: Expression = Operand(0)
    for index in range(1, 9):
        sums = sums + Operand(index)
    with pytest.raises(ScheduleError, match="requests"):
        broadcast_kernel(sums, (False,) * 9, 1)
    with pytest.raises(ScheduleError, match="registers"):
        broadcast_kernel(sums, (True,) * 8, 60)
