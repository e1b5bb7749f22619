"""Depthwise convolution by rotating sums: groups of columns, when lines are received, and what is refused."""

from __future__ import annotations

from dataclasses import replace

import pytest

from codegen.algorithm import algorithm_named
from codegen.engines.videocore4.kernels.depthwise_rotated import (
    Form,
    channel_instructions,
    depthwise_rotated_kernel,
    requested,
)
from codegen.errors import ScheduleError
from codegen.expression import RESULT, Expression, clamp
from codegen.operators.conv2d import Conv2d
from tests.codegen.gpu_run import TARGET, relative_error
from tests.codegen.layers import convolution

ALGORITHM = algorithm_named("qpu_depthwise_rotated")
CACHED_INSTRUCTIONS = 512


@pytest.mark.parametrize(
    ("form", "groups"),
    [
        (Form((3, 3), (1, 1), 2, 2, 16), [[0, 1, 2]]),
        (Form((3, 3), (2, 2), 1, 2, 16), [[0, 2], [1]]),
        (Form((5, 5), (1, 1), 2, 2, 16), [[0, 1, 2], [3, 4]]),
        (Form((5, 5), (2, 2), 2, 2, 12), [[0, 2, 4], [1, 3]]),
        (Form((5, 5), (1, 1), 4, 2, 16), [[0, 1, 2, 3, 4]]),
    ],
)
def test_groups_of_columns_and_their_kernels(form: Form, groups: list[list[int]]) -> None:
    assert list(map(list, form.groups)) == groups
    assert sorted((t.row, t.column) for taps in form.taps for t in taps) == [
        (row, column) for row in range(form.kernel[0]) for column in range(form.kernel[1])
    ]
    assert sorted(requested(form)) == list(range(form.lines))
    words = depthwise_rotated_kernel(form).words
    assert form.unrolled * channel_instructions(form) < len(words) <= CACHED_INSTRUCTIONS + 32


@pytest.mark.parametrize(
    "form",
    [
        Form((5, 5), (1, 1), 1, 3, 16),  # registers
        Form((3, 3), (1, 1), 2, 4, 8),  # rows
        Form((3, 3), (1, 1), 2, 3, 24),  # rows of the VPM
        Form((3, 3), (1, 1), 2, 1, 1),  # an odd number of lines a pass
    ],
)
def test_forms_that_a_kernel_cannot_have(form: Form) -> None:
    with pytest.raises(ScheduleError):
        depthwise_rotated_kernel(form)


@pytest.mark.parametrize("epilogue", [RESULT, clamp(RESULT, 0.25, None), RESULT * clamp(RESULT, -1.0, 1.0)])
@pytest.mark.parametrize(
    ("channels", "size", "op"),
    [
        (24, (7, 7), Conv2d((5, 5), pads=(2, 2, 2, 2))),
        (16, (9, 33), Conv2d((3, 3), pads=(1, 1, 1, 1))),
        (20, (11, 31), Conv2d((5, 5), (2, 2), (1, 2, 2, 1))),
        (17, (6, 17), Conv2d((3, 7), (2, 1), (0, 3, 1, 3))),
        (8, (1, 18), Conv2d((1, 3), (1, 2), (0, 1, 0, 1))),
    ],
)
def test_results(channels: int, size: tuple[int, int], op: Conv2d, epilogue: Expression) -> None:
    spec = convolution(channels, channels, size, replace(op, groups=channels, epilogue=epilogue))
    points = list(ALGORITHM.space(spec, TARGET).points())
    tried = 0
    for point in points[:: max(1, len(points) // 3)]:
        try:
            choice = ALGORITHM.choice(spec, TARGET, point)
        except ScheduleError:
            continue
        tried += 1
        assert relative_error(spec, choice) < 1e-5
    assert tried


@pytest.mark.parametrize(
    "op",
    [
        Conv2d((3, 3), dilations=(2, 2), groups=16),
        Conv2d((3, 1), groups=16),
        Conv2d((2, 2), (2, 2), groups=16),
    ],
)
def test_windows_that_share_no_lines_are_refused(op: Conv2d) -> None:
    assert not ALGORITHM.applies(convolution(16, 16, (9, 9), op), TARGET)
