"""The transforms of Winograd convolutions, executed as Python, against the correlation they stand for."""

from __future__ import annotations

import re

import numpy as np
import pytest

from codegen.engines.cpu.blocked.winograd_transform import (
    POINTS,
    Step,
    input_steps,
    output_steps,
    statements,
)
from codegen.winograd import TAPS, TILES, filter_matrix, transformed_filters

HEXADECIMAL = re.compile(r"-?0x[0-9a-f.]+p[+-]?\d+f")


def run(steps: list[Step], values: dict[str, float]) -> dict[str, float]:
    """The values of C expressions, in float64."""
    known = dict(values)
    for name, expression in steps:
        text = HEXADECIMAL.sub(lambda found: repr(float.fromhex(found[0].rstrip("f"))), expression)
        known[name] = float(eval(text, {"__builtins__": {}}, known))
    return known


@pytest.mark.parametrize("tile", TILES)
def test_a_line_of_outputs_is_the_correlation(tile: int) -> None:
    random = np.random.default_rng(tile)
    line, taps = random.normal(size=tile + TAPS - 1), random.normal(size=TAPS)
    d, t, m, y = ([f"{letter}{i}" for i in range(tile + TAPS - 1)] for letter in "dtmy")
    inputs = run(input_steps(tile, d, t, "i"), dict(zip(d, line, strict=True)))
    products = filter_matrix(tile, POINTS) @ taps * [inputs[name] for name in t]
    outputs = run(output_steps(tile, m, y[:tile], "o"), dict(zip(m, products, strict=True)))
    expected = np.correlate(line, taps, mode="valid")
    assert [outputs[name] for name in y[:tile]] == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("tile", TILES)
def test_filters_are_transformed_along_both_axes(tile: int) -> None:
    filters = np.random.default_rng(tile).normal(size=(2, 3, TAPS, TAPS)).astype(np.float32)
    matrix = filter_matrix(tile, POINTS)
    expected = matrix @ filters[1, 2].astype(np.float64) @ matrix.T
    found = transformed_filters(filters, tile, POINTS)
    assert found.shape == (tile + 2, tile + 2, 2, 3)
    assert found[:, :, 1, 2] == pytest.approx(expected, abs=1e-12)


def test_statements_leave_out_what_nothing_needs() -> None:
    steps = [("a", "x + y"), ("b", "x - y"), ("c", "a * a"), ("", "z = c;")]
    assert statements("vec4", steps) == ["const vec4 a = x + y;", "const vec4 c = a * a;", "z = c;"]
