"""Convolutions whose last tiles are split along the input channels: which are, and that they are right."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

import numpy as np
import pytest

from codegen.algorithm import algorithm_named
from codegen.engine_registry import layout_named
from codegen.engines.videocore4.algorithm import QpuAlgorithm
from codegen.engines.videocore4.algorithms.split_k import Cut
from codegen.engines.videocore4.kernels.pace import MOST_QPUS
from codegen.engines.videocore4.layout import LINE_BYTES
from codegen.engines.videocore4.link import link_single
from codegen.errors import ScheduleError
from codegen.expression import RESULT, clamp
from codegen.graph import LayerSpec
from codegen.operators.conv2d import Conv2d
from codegen.reference import evaluate_layer
from codegen.schedule import Choice, Point
from codegen.target import Target
from microbench.profile import load_profile
from tests.codegen.algorithm_layers import LAYERS
from tests.codegen.gpu_run import TARGET, execute, random_tensors, relative_error
from tests.codegen.layers import convolution, inferred_layer

POINTWISE, IM2COL = algorithm_named("qpu_pointwise_split_k"), algorithm_named("qpu_im2col_split_k")
DEEP = convolution(130, 226, (7, 7), Conv2d((1, 1), epilogue=clamp(RESULT, 0.0, 6.0)))
ON_ALL_BOARDS = {
    **{name: LAYERS[name] for name in ("few tiles", "few tiles and a sum", "few tiles of windows")},
    "in step": DEEP,
}


def of_largest_tile(spec: LayerSpec, target: Target) -> Choice:
    """The last of the space, in step where QPUs may be."""
    algorithm = POINTWISE if POINTWISE.applies(spec, target) else IM2COL
    for point in reversed(list(algorithm.space(spec, target).points())):
        with suppress(ScheduleError):
            return algorithm.choice(spec, target, point)
    raise AssertionError(f"nothing is offered for {spec.describe()}")


@pytest.mark.parametrize("name", ON_ALL_BOARDS)
@pytest.mark.parametrize(("profile", "qpus"), [("pi-zero", 12), ("pi-1", 5), ("pi-3", 6), ("pi-3", 12)])
def test_any_board_and_number_of_qpus(name: str, profile: str, qpus: int) -> None:
    board, spec = load_profile(profile), ON_ALL_BOARDS[name]
    target = replace(board.target(), qpus=qpus)
    choice = of_largest_tile(spec, target)
    algorithm = algorithm_named(choice.algorithm)
    assert isinstance(algorithm, QpuAlgorithm)
    inputs, weights = random_tensors(spec, 3)
    layouts = [layout_named(layout) for layout in choice.input_layouts]
    result = layout_named(choice.output_layout)
    program = link_single(
        algorithm.lower(spec, target, choice, weights),
        [layout.size_bytes(tensor) for layout, tensor in zip(layouts, spec.inputs, strict=True)],
        [result.size_bytes(spec.output)],
        qpus,
    )
    images = [layout.pack(value) for layout, value in zip(layouts, inputs, strict=True)]
    (found,), runs = execute(program, images, board)
    (expected,) = evaluate_layer(spec, inputs, weights)
    assert np.abs(result.unpack(found, spec.output) - expected).max() <= 1e-5 * np.abs(expected).max()
    assert all(run.stale_reads == 0 for run in runs)


def point_of(pixels: int, parts: int) -> Point:
    return {
        "pixel_tiles": 2,
        "channels": 32,
        "neighbours": "pixels",
        "pixels": pixels,
        "parts": parts,
        "pace": "free",
    }


@pytest.mark.parametrize("parts", [2, 3, 4])
def test_any_number_of_ranges(parts: int) -> None:
    assert relative_error(DEEP, POINTWISE.choice(DEEP, TARGET, point_of(25, parts))) < 1e-5


def test_tiles_that_all_qpus_have_as_many_of_are_not_split() -> None:
    with pytest.raises(ScheduleError, match="no less to do"):
        POINTWISE.choice(DEEP, TARGET, point_of(17, 3))


@pytest.mark.parametrize(
    "spec",
    [
        convolution(131, 130, (7, 7), Conv2d((1, 1))),
        convolution(260, 260, (7, 7), Conv2d((1, 1), groups=2)),
        inferred_layer(Conv2d((1, 1)), (2, 130, 7, 7), weights=((130, 130, 1, 1), (130,))),
        convolution(30, 130, (7, 7), Conv2d((1, 1))),
    ],
    ids=["odd depth", "groups", "images", "few channels"],
)
def test_what_is_not_split(spec: LayerSpec) -> None:
    assert not POINTWISE.applies(spec, TARGET)


def test_one_qpu_splits_nothing() -> None:
    assert not POINTWISE.applies(DEEP, replace(TARGET, qpus=1))


@pytest.mark.parametrize("spec", [DEEP, LAYERS["few tiles of windows"]], ids=["pointwise", "windows"])
def test_a_layer_of_several_launches_is_not_split(spec: LayerSpec) -> None:
    choice = of_largest_tile(spec, TARGET)
    algorithm, point = algorithm_named(choice.algorithm), {**choice.splits, **choice.tiles}
    if "pace" in point:
        point["pace"] = "free"
    work = algorithm.work(spec, TARGET, choice)
    slow = replace(TARGET, launch_limit_s=8 * work.instructions / TARGET.qpus / TARGET.v3d_clock_hz)
    with pytest.raises(ScheduleError, match="one launch"):
        algorithm.choice(spec, slow, point)


@pytest.mark.parametrize(("rows", "columns"), [(2, 32), (2, 16), (3, 5), (7, 2)])
def test_a_cut_deals_out_every_sum_once_and_leaves_the_busiest_less_to_do(rows: int, columns: int) -> None:
    cut = Cut.best(rows, columns, 512, 3, 12)
    assert cut is not None
    assert cut.ranges[0].start == 0
    assert cut.ranges[-1].stop == 512
    assert all(len(channels) % 2 == 0 for channels in cut.ranges)
    dealt = sorted(one for sums in cut.sums for one in sums)
    assert dealt == [
        (row, column, part)
        for row in range(rows)
        for column in range(cut.whole, columns)
        for part in range(3)
    ]
    uncut = -(-rows * columns // 12) * 512
    assert max(cut.loads) < uncut


def test_the_sums_of_an_im2col_matrix_lie_behind_it() -> None:
    """And a line apart, which the prefetch of uniforms reads before they are written."""
    spec = LAYERS["few tiles of windows"]
    choice = of_largest_tile(spec, TARGET)
    assert isinstance(IM2COL, QpuAlgorithm)
    layer = IM2COL.lower(spec, TARGET, choice, random_tensors(spec, 0)[1])
    assert layer.then is not None
    assert layer.then.then is not None
    assert layer.scratch_bytes == layer.then.scratch_bytes == layer.then.then.scratch_bytes
    matrix = layout_named("pixel16").size_bytes(replace(spec.inputs[0], shape=(1, 108, 5, 7)))
    added = [
        word.offset_bytes
        for block in layer.then.then.blocks
        for word in block or ()
        if not isinstance(word, (int, float)) and word.base == "scratch"
    ]
    assert min(added) == matrix + LINE_BYTES
    assert max(added) < layer.scratch_bytes


def test_in_step_as_far_as_semaphores_count() -> None:
    for qpus, found in ((12, True), (MOST_QPUS + 1, False)):
        axes = POINTWISE.space(DEEP, replace(TARGET, qpus=qpus)).axes
        assert ("pace" in {axis.name for axis in axes}) == found
