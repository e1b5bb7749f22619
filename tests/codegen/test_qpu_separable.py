"""Depthwise separable convolutions on the QPUs: forms of the kernel, and what is refused."""

from __future__ import annotations

from dataclasses import replace

import pytest

from codegen.algorithm import algorithm_named
from codegen.engines.videocore4.isa import decode
from codegen.engines.videocore4.kernels.separable import separable_kernel
from codegen.engines.videocore4.kernels.separable_loop import Form, channel_instructions
from codegen.engines.videocore4.slots import loops
from codegen.errors import ScheduleError
from codegen.expression import Operand, clamp
from codegen.graph import LayerSpec
from codegen.operators.chain import Chain
from codegen.operators.conv2d import Conv2d
from tests.codegen.algorithm_layers import LAYERS
from tests.codegen.gpu_run import TARGET, relative_error

ALGORITHM = algorithm_named("qpu_separable")
CACHED_INSTRUCTIONS = 512


@pytest.mark.parametrize(
    "form",
    [Form(2, 24, 1, 0), Form(2, 16, 1, None), Form(1, 32, 1, 0), Form(1, 24, 2, 0), Form(2, 22, 1, 0, 12)],
)
def test_kernels_and_their_work(form: Form) -> None:
    """A few instructions besides where vectors take turns, or requests find no slot."""
    kernel = separable_kernel(form)
    assert len(kernel.words) <= CACHED_INSTRUCTIONS
    words = kernel.words
    assert 0 <= len(words) - len(separable_kernel(replace(form, channels=form.channels - 1)).words) <= 12
    assert channel_instructions(form) < len(words)


@pytest.mark.parametrize("form", [Form(2, 25, 1, 0), Form(2, 12, 2, 0), Form(3, 8, 1, 0), Form(1, 6, 1, 0)])
def test_forms_that_a_kernel_cannot_have(form: Form) -> None:
    with pytest.raises(ScheduleError):
        separable_kernel(form)


def with_window(window: Conv2d) -> LayerSpec:
    layer = LAYERS["separable"]
    assert isinstance(layer.op, Chain)
    first, second = layer.op.members
    return replace(layer, op=Chain((replace(first, op=window), second), layer.op.sources))


@pytest.mark.parametrize("low", [-0.5, 0.25, None])
def test_any_clamp_whose_lower_end_is_a_small_immediate(low: float | None) -> None:
    layer = LAYERS["separable"]
    assert isinstance(layer.op, Chain)
    window = layer.op.members[0].op
    assert isinstance(window, Conv2d)
    spec = with_window(replace(window, epilogue=clamp(Operand(0), low, 0.7)))
    point = {"rows": 2, "channels": 16, "pace": "free"}
    if low == -0.5:
        assert not ALGORITHM.applies(spec, TARGET)
    else:
        assert relative_error(spec, ALGORITHM.choice(spec, TARGET, point)) < 1e-5


@pytest.mark.parametrize(
    ("layer", "rows", "channels"),
    [("separable", rows, channels) for rows in (1, 2) for channels in (8, 22, 24)]
    + [("separable", 1, 32)]
    + [("separable, halved", 1, channels) for channels in (8, 22, 24)],
)
def test_lanes_of_one_vector_and_of_two(layer: str, rows: int, channels: int) -> None:
    spec = LAYERS[layer]
    choice = ALGORITHM.choice(spec, TARGET, {"rows": rows, "channels": channels, "pace": "free"})
    assert relative_error(spec, choice) < 1e-5


@pytest.mark.parametrize(
    "form", [Form(2, 24, 1, 0), Form(2, 23, 1, 0), Form(2, 7, 1, None), Form(1, 23, 1, 0), Form(1, 32, 2, 0)]
)
def test_the_loop_has_about_the_instructions_that_its_work_says(form: Form) -> None:
    (loop,) = (
        loop for loop in loops([decode(word) for word in separable_kernel(form).words]) if loop.share > 0.8
    )
    assert abs(loop.instructions - channel_instructions(form)) <= 3


def test_few_tiles_are_not_in_step() -> None:
    spec = LAYERS["separable"]
    with pytest.raises(ScheduleError, match="in step"):
        ALGORITHM.choice(spec, replace(TARGET, qpus=64), {"rows": 2, "channels": 16, "pace": "in_step"})


def test_a_layer_of_several_launches_is_not_in_step() -> None:
    """The QPUs of one launch would wait for those of another."""
    spec = LAYERS["separable"]
    point = {"rows": 2, "channels": 16, "pace": "in_step"}
    work = ALGORITHM.work(spec, TARGET, ALGORITHM.choice(spec, TARGET, point))
    seconds = 4 * work.instructions / TARGET.qpus / TARGET.v3d_clock_hz
    slow = replace(TARGET, launch_limit_s=2 * seconds)
    with pytest.raises(ScheduleError, match="one launch"):
        ALGORITHM.choice(spec, slow, point)
    ALGORITHM.choice(spec, slow, {**point, "pace": "free"})


def test_images_of_a_batch_are_not_in_step() -> None:
    spec = LAYERS["separable of two images and a sum"]
    (axis,) = (axis for axis in ALGORITHM.space(spec, TARGET).axes if axis.name == "pace")
    assert axis.values == ("free",)
