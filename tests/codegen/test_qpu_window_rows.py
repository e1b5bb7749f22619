"""Windows by rows: parts of wide rows, the order of taps, and layers that the kernels refuse."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from codegen.algorithm import algorithm_named
from codegen.engines.videocore4.algorithms.window_rows import MOST_COLUMNS, parts_of
from codegen.engines.videocore4.kernels.grouped import grouped_kernel
from codegen.engines.videocore4.kernels.window_rows import turns, window_rows_kernel
from codegen.errors import ScheduleError
from codegen.operators.conv2d import Conv2d
from codegen.operators.pool2d import Pool2d
from codegen.operators.pool_nd import PoolNd
from tests.codegen.gpu_run import TARGET, random_tensors, relative_error, run_layer
from tests.codegen.layers import convolution, inferred_layer
from tests.codegen.plan_run import choice_of


@pytest.mark.parametrize("columns", range(1, 60))
def test_parts_cover_a_row_by_equal_widths(columns: int) -> None:
    parts = parts_of(columns)
    assert [tap for part in parts for tap in part][:columns] == list(range(columns))
    assert len({len(part) for part in parts}) == 1 and len(parts[0]) <= MOST_COLUMNS
    assert parts[-1].start < columns <= parts[-1].stop


def test_two_channels_take_turns_on_the_units() -> None:
    assert turns(3, 2) == ((0, 0), (1, 0), (0, 1), (1, 1), (2, 0), (2, 1))


def test_a_tile_beyond_the_registers_is_refused() -> None:
    with pytest.raises(ScheduleError, match="registers"):
        window_rows_kernel("depthwise", MOST_COLUMNS, 32)


def test_straight_code_beyond_the_instruction_cache_is_refused() -> None:
    with pytest.raises(ScheduleError, match="a tap is more than"):
        grouped_kernel(1, 32, 16)


@pytest.mark.parametrize("kind", ["max", "average"])
def test_windows_that_hold_nothing_are_refused(kind: str) -> None:
    spec = inferred_layer(PoolNd(kind, (2, 2), (3, 3), (1, 1), (0, 0), (3, 3), (3, 3)), (1, 4, 6, 6))
    assert not algorithm_named("qpu_pool_rows").applies(spec, TARGET)


def test_places_of_maxima_are_refused() -> None:
    without = PoolNd("max", (2, 2), (2, 2), (1, 1), (0, 0), (0, 0), (3, 3))
    values, op = inferred_layer(without, (1, 4, 6, 6)), replace(without, places=1)
    places = replace(values, op=op, outputs=op.infer(values.inputs, (), ()))
    applies = algorithm_named("qpu_pool_rows").applies
    assert applies(values, TARGET) and not applies(places, TARGET)


def test_maxima_of_negative_numbers_are_not_those_of_padding() -> None:
    spec = inferred_layer(Pool2d("max", (5, 5), (2, 2), (4, 4, 4, 4)), (1, 2, 5, 6))
    value = -1 - np.abs(random_tensors(spec, 1)[0][0])
    (result,) = run_layer(spec, choice_of(spec, "qpu_pool_rows"), [value], [])
    assert result.max() <= -1.0


@pytest.mark.parametrize("outputs", [1, 2, 3])
def test_heads_of_few_channels(outputs: int) -> None:
    spec = convolution(11, outputs, (6, 9), Conv2d((3, 3), pads=(1, 1, 1, 1)))
    algorithm = algorithm_named("qpu_implicit_gemm")
    for point in algorithm.space(spec, TARGET).points()[::7]:
        assert relative_error(spec, algorithm.choice(spec, TARGET, point)) < 2e-5
