"""Expansions with a depthwise convolution on the QPUs: forms of the kernel, borders, and what is refused."""

from __future__ import annotations

import pytest

from codegen.algorithm import algorithm_named
from codegen.engines.videocore4.algorithms.expand_depthwise import shared_rows
from codegen.engines.videocore4.algorithms.expanded_bands import COPY, INPUT, ONCE
from codegen.engines.videocore4.kernels.expand_depthwise import check, expand_depthwise_kernel
from codegen.engines.videocore4.kernels.expand_form import (
    Form,
    Vector,
    step_instructions,
    vectors_of,
)
from codegen.errors import ScheduleError
from codegen.expression import RELU, RESULT, Expression, clamp
from codegen.operators.conv2d import Conv2d
from codegen.schedule import Point
from tests.codegen.built import choices
from tests.codegen.gpu_run import TARGET, relative_error
from tests.codegen.layer_forms import RELU6, SAME, expanded

ALGORITHM = algorithm_named("qpu_expand_depthwise")
POINT = {"rows": 2, "pixels": 4, "source": INPUT}


def form(channels: int, stride: int, rows: int, pixels: int) -> Form:
    count = len(vectors_of(channels))
    tmus = tuple((row % 2,) * count for row in range((rows - 1) * stride + 3))
    return Form(channels, stride, rows, pixels, tmus)


@pytest.mark.parametrize(
    "form", [form(16, 2, 2, 8), form(24, 1, 2, 8), form(24, 2, 1, 8), form(32, 2, 1, 8), form(8, 1, 3, 4)]
)
def test_kernels_and_their_work(form: Form) -> None:
    """Of a step hardly more than its products and rotations, and what moves results on."""
    words = expand_depthwise_kernel(form).words
    least = form.unrolled * step_instructions(form)
    assert least < len(words) < 1.2 * least + 180


@pytest.mark.parametrize(
    "form", [form(4, 1, 1, 4), form(33, 1, 1, 4), form(32, 1, 4, 8), form(16, 1, 5, 4), form(16, 1, 1, 17)]
)
def test_forms_that_a_kernel_cannot_have(form: Form) -> None:
    with pytest.raises(ScheduleError):
        check(form)
    with pytest.raises(ScheduleError):
        expand_depthwise_kernel(form)


@pytest.mark.parametrize(
    ("channels", "periods"), [(5, (8,)), (16, (16,)), (18, (16, 4)), (24, (16, 8)), (25, (16, 16))]
)
def test_few_channels_are_repeated_over_the_lanes(channels: int, periods: tuple[int, ...]) -> None:
    assert tuple(vector.period for vector in vectors_of(channels)) == periods


def test_lanes_without_a_channel_gather_the_last() -> None:
    assert [Vector(16, 5).channel(lane) for lane in (0, 4, 7, 8, 15)] == [16, 20, 20, 16, 20]


@pytest.mark.parametrize("source", [INPUT, COPY])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("pads", [(0, 0, 0, 0), SAME, (0, 0, 1, 1), (2, 2, 2, 2), (1, 2, 0, 0), (3, 3, 0, 4)])
def test_any_border(pads: tuple[int, int, int, int], stride: int, source: str) -> None:
    """What lies outside is zero between the two layers, where the expansion has a bias."""
    spec = expanded(6, 19, (1, 5, 9), Conv2d((3, 3), (stride, stride), pads, epilogue=RELU6))
    point = {"rows": 1, "pixels": 4, "source": source}
    assert relative_error(spec, ALGORITHM.choice(spec, TARGET, point)) < 1e-5


@pytest.mark.parametrize("source", [INPUT, COPY])
@pytest.mark.parametrize("channels", [5, 7, 12, 16, 18, 24, 31, 32])
def test_any_number_of_channels(channels: int, source: str) -> None:
    spec = expanded(channels, 33, (1, 6, 7), Conv2d((3, 3), (1, 1), SAME, epilogue=RELU6))
    assert relative_error(spec, ALGORITHM.choice(spec, TARGET, {**POINT, "source": source})) < 1e-5


@pytest.mark.parametrize("width", [1, 4, 5, 15, 16, 17])
@pytest.mark.parametrize("stride", [1, 2])
def test_any_width(width: int, stride: int) -> None:
    spec = expanded(10, 16, (1, 5, width), Conv2d((3, 3), (stride, stride), SAME, epilogue=RELU))
    for choice in choices(ALGORITHM, spec, TARGET, 6):
        assert relative_error(spec, choice) < 1e-5


@pytest.mark.parametrize("last", [RESULT, RELU, clamp(RESULT, -0.25, 0.75), clamp(RESULT, None, 0.5)])
@pytest.mark.parametrize("first", [RELU, clamp(RESULT, 0.0, 0.5)])
def test_any_clamp_behind_the_window(first: Expression, last: Expression) -> None:
    spec = expanded(9, 16, (1, 5, 6), Conv2d((3, 3), (1, 1), SAME, epilogue=last), first)
    assert relative_error(spec, ALGORITHM.choice(spec, TARGET, POINT)) < 1e-5


@pytest.mark.parametrize(
    ("window", "first"),
    [
        (Conv2d((3, 3), (1, 1), SAME), RESULT),
        (Conv2d((3, 3), (1, 1), SAME), clamp(RESULT, -1.0, 1.0)),
        (Conv2d((5, 5), (1, 1), (2, 2, 2, 2)), RELU6),
        (Conv2d((3, 3), (1, 2), SAME), RELU6),
        (Conv2d((3, 3), (1, 1), (2, 2, 2, 2), (2, 2)), RELU6),
    ],
)
def test_what_it_does_not_compute(window: Conv2d, first: Expression) -> None:
    assert not ALGORITHM.applies(expanded(16, 16, (1, 8, 8), window, first), TARGET)
    assert ALGORITHM.applies(expanded(16, 16, (1, 8, 8), Conv2d((3, 3), (1, 1), SAME), RELU6), TARGET)


@pytest.mark.parametrize("pixels", [4, 8])
@pytest.mark.parametrize("channels", [5, 12, 16, 18, 24, 31, 32])
def test_rows_that_are_expanded_once(channels: int, pixels: int) -> None:
    """Of any number of vectors, each of which asks for its pixels elsewhere in a step."""
    spec = expanded(channels, 33, (1, 9, 23), Conv2d((3, 3), (2, 2), (0, 0, 1, 1), epilogue=RELU6))
    point = {"rows": 1, "pixels": pixels, "source": ONCE}
    assert relative_error(spec, ALGORITHM.choice(spec, TARGET, point)) < 1e-5


@pytest.mark.parametrize("size", [(2, 3), (14, 15), (33, 34)])
@pytest.mark.parametrize("pads", [(0, 0, 1, 1), (1, 1, 1, 1), (2, 1, 2, 2), (1, 0, 0, 3)])
def test_rows_that_are_expanded_once_at_any_border(
    pads: tuple[int, int, int, int], size: tuple[int, int]
) -> None:
    spec = expanded(9, 40, (1, *size), Conv2d((3, 3), (2, 2), pads, epilogue=clamp(RESULT, -0.5, None)))
    point = {"rows": 1, "pixels": 4, "source": ONCE}
    assert relative_error(spec, ALGORITHM.choice(spec, TARGET, point)) < 1e-5


@pytest.mark.parametrize(
    ("images", "window", "point"),
    [
        (1, Conv2d((3, 3), (1, 1), SAME), {}),
        (1, Conv2d((3, 3), (2, 2), (1, 2, 1, 1)), {}),
        (1, Conv2d((3, 3), (2, 2), SAME), {"rows": 2}),
        (1, Conv2d((3, 3), (2, 2), SAME), {"pixels": 6}),
        (2, Conv2d((3, 3), (2, 2), SAME), {}),
    ],
)
def test_what_is_not_expanded_once(images: int, window: Conv2d, point: Point) -> None:
    spec = expanded(16, 16, (images, 12, 12), window, RELU6)
    with pytest.raises(ScheduleError):
        ALGORITHM.choice(spec, TARGET, {"rows": 1, "pixels": 8, "source": ONCE, **point})


@pytest.mark.parametrize(("rows", "groups", "qpus"), [(56, 4, 12), (7, 9, 12), (3, 2, 5), (1, 3, 12)])
def test_rows_are_shared_out_once(rows: int, groups: int, qpus: int) -> None:
    shares = shared_rows(rows, groups, qpus)
    every = [(group, row) for share in shares for group, own in share for row in own]
    assert sorted(every) == [(group, row) for group in range(groups) for row in range(rows)]
    assert max(map(len, shares)) - min(map(len, shares)) <= 1
