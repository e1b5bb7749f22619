"""Kernels of lines: expressions of several operands, some of them numbers or lines that serve many lines."""

from __future__ import annotations

import numpy as np
import pytest

from codegen.engines.videocore4.kernels.lines import (
    CHANNEL_LINES,
    CHANNEL_NUMBERS,
    LINES,
    ONE_LINE,
    ONE_NUMBER,
    Access,
    is_clamped,
    lines_kernel,
)
from codegen.engines.videocore4.layer import Address, QpuLayer, Uniform
from codegen.engines.videocore4.layout import LANES
from codegen.engines.videocore4.link import link_single
from codegen.errors import ScheduleError
from codegen.expression import Expression, Operand, apply, clamp, less, maximum, select
from codegen.tensor import FloatArray
from tests.codegen.gpu_run import execute

X, Y, Z = (Operand(i) for i in range(3))
LINE_COUNT = 16
SIGMOID = 1.0 / (1.0 + apply("exp", -X))


def operand(access: Access, lines: int, seed: int) -> tuple[FloatArray, FloatArray]:
    """Words in memory, and the value of every line's lanes."""
    rng = np.random.default_rng(seed)
    rows = lines if access.step_bytes else 1
    width = LANES if access.by_lane or access.step_bytes == 64 else 1
    stored = rng.uniform(0.5, 2.0, (rows, width)).astype(np.float32)
    used = stored if access.by_lane else stored[:, :1]
    return stored.reshape(-1), np.broadcast_to(used, (lines, LANES)).astype(np.float32)


def run(
    expression: Expression, accesses: list[Access], rows: int, tiles: int = 2
) -> tuple[FloatArray, FloatArray]:
    """What the kernel computes for a number of tiles of two groups, and what float64 has."""
    lines = 2 * rows * tiles
    operands = [operand(access, lines, seed) for seed, access in enumerate(accesses)]
    clamped: tuple[float, ...] = (-3.0e38, 2.5) if is_clamped(expression, accesses) else ()
    words: list[Uniform] = [Address("block", 8), tiles]
    for tile in range(tiles):
        first = 2 * rows * tile
        words += [Address("input", first * a.step_bytes, i) for i, a in enumerate(accesses)]
        words += [2, Address("output", 64 * first), *clamped]
    layer = QpuLayer(lines_kernel(expression, accesses, rows).words, np.zeros(16, np.uint32), (tuple(words),))
    program = link_single(layer, [stored.nbytes for stored, _ in operands], [64 * lines], 1)
    (memory,), runs = execute(program, [stored for stored, _ in operands])
    assert all(r.stale_reads == 0 for r in runs)
    expected = expression.evaluate([used.astype(np.float64) for _, used in operands])
    return memory.reshape(lines, LANES), expected.astype(np.float32)


CASES: dict[str, tuple[Expression, list[Access]]] = {
    "clamped copy": (clamp(X, None, 2.5), [LINES]),
    "clamped sum": (clamp(X + Y, None, 2.5), [LINES, LINES]),
    "sum the other way": (clamp(Y + X, None, 2.5), [LINES, LINES]),
    "product": (X * Y, [LINES, LINES]),
    "one operand": (SIGMOID, [LINES]),
    "swish": (X * SIGMOID, [LINES]),
    "quotient": (X / Y, [LINES, LINES]),
    "operand twice": (X + X, [LINES]),
    "numbers of channels": (X * Y + Z, [LINES, CHANNEL_NUMBERS, CHANNEL_NUMBERS]),
    "channels as lines": (SIGMOID * Y, [LINES, CHANNEL_LINES]),
    "gate first": (X * Y, [CHANNEL_LINES, LINES]),
    "one line for all": (maximum(X, Y), [LINES, ONE_LINE]),
    "one number": (select(less(X, Y), X, Y * 2.0), [LINES, ONE_NUMBER]),
    "clamped sum with a number": (clamp(X + Y, None, 2.5), [LINES, ONE_NUMBER]),
    "four tensors": (X * Y + Z * Operand(3), [LINES] * 4),
    "eight tensors": (
        X + Y + Z + Operand(3) + Operand(4) + Operand(5) + Operand(6) + Operand(7),
        [LINES] * 8,
    ),
}


@pytest.mark.parametrize("rows", [4, 16])
@pytest.mark.parametrize("name", CASES)
def test_every_expression_on_every_kind_of_operand(name: str, rows: int) -> None:
    actual, expected = run(*CASES[name], rows)
    np.testing.assert_allclose(actual, expected, rtol=1e-3)


def test_groups_that_no_batch_divides() -> None:
    actual, expected = run(X * Y, [LINES, LINES], 6)
    np.testing.assert_allclose(actual, expected, rtol=1e-6)


def test_clamps_share_one_kernel() -> None:
    sum_words = lines_kernel(Y + X, [LINES, LINES], 8).words
    assert lines_kernel(clamp(X + Y, 0.0, 6.0), [LINES, LINES], 8).words == sum_words
    assert lines_kernel(X * Y, [LINES, LINES], 8).words != sum_words


def test_what_the_registers_and_queues_do_not_hold_is_refused() -> None:
    nine: Expression = X
    for i in range(1, 9):
        nine = nine + Operand(i)
    with pytest.raises(ScheduleError, match="requests of 8"):
        lines_kernel(nine, [LINES] * 9, 4)
    with pytest.raises(ScheduleError, match="store fewer lines"):
        lines_kernel(apply("pow", X, Y) * apply("erfc", Z), [LINES] * 3, 52)
    with pytest.raises(ScheduleError, match="of 2 operands, of which 1 are read"):
        lines_kernel(X + Y, [LINES], 4)
    with pytest.raises(ScheduleError, match="file"):
        lines_kernel(X, [LINES], 64)
