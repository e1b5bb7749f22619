"""First convolutions with a depthwise one behind on the QPUs: the kernel, borders, and what is refused."""

from __future__ import annotations

from dataclasses import replace

import pytest

from codegen.algorithm import algorithm_named
from codegen.engines.videocore4.algorithms.stem_depthwise import StemDepthwise
from codegen.engines.videocore4.kernels.stem_depthwise import (
    CHANNELS,
    pass_instructions,
    stem_depthwise_kernel,
)
from codegen.expression import RELU, RESULT, Expression, Operand, apply, clamp
from codegen.graph import LayerSpec
from codegen.operators.chain import Chain
from codegen.operators.conv2d import Conv2d
from codegen.operators.elementwise import EXPRESSIONS
from tests.codegen.gpu_run import TARGET, relative_error
from tests.codegen.layer_forms import RELU6, SAME, stem_depthwise

ALGORITHM = algorithm_named("qpu_stem_depthwise")
X = Operand(0)
HARD_SWISH = EXPRESSIONS["HardSwish"](X)
Pads = tuple[int, int, int, int]


def error(spec: LayerSpec, parts: int = 1, rest_parts: int = 1) -> float:
    choice = ALGORITHM.choice(spec, TARGET, {"parts": parts, "rest_parts": rest_parts})
    return relative_error(spec, choice)


@pytest.mark.parametrize("aligned", [False, True])
def test_the_code_is_about_a_step_and_a_window(aligned: bool) -> None:
    """Steps are passes of a loop."""
    passes = pass_instructions(2) - pass_instructions(1)
    once = pass_instructions(1)
    words = stem_depthwise_kernel(aligned).words
    assert passes < once < len(words) < 2 * once


@pytest.mark.parametrize("columns", [8, 22, 32, 48, 54])
@pytest.mark.parametrize("pads", [(0, 0, 0, 0), SAME, (0, 0, 1, 1), (1, 0, 0, 0), (0, 1, 1, 0), (1, 1, 0, 0)])
def test_any_border(pads: Pads, columns: int) -> None:
    spec = stem_depthwise((1, 3, 12, columns), CHANNELS, pads)
    if ALGORITHM.applies(spec, TARGET):
        assert error(spec) < 1e-5
    else:
        assert pads != (0, 0, 0, 0)


@pytest.mark.parametrize("rows", [5, 7, 9, 33, 35, 37])
def test_any_number_of_rows(rows: int) -> None:
    """More passes than have their edges computed together, and an odd number of outputs."""
    assert error(stem_depthwise((1, 1, rows, 41), 9, (0, 0, 0, 0))) < 1e-5


@pytest.mark.parametrize(("parts", "rest_parts"), [(1, 1), (2, 1), (1, 3), (3, 4), (6, 2), (8, 8)])
def test_parts_of_rows(parts: int, rest_parts: int) -> None:
    """Of 14 tasks a part 12 are dealt out evenly."""
    spec = stem_depthwise((1, 3, 40, 224), 16, (0, 0, 1, 1))
    strips = list(StemDepthwise.require(spec).strips(TARGET.qpus, {"parts": parts, "rest_parts": rest_parts}))
    assert len(strips) == 6 * parts + rest_parts if parts < 6 else 7 * parts
    assert error(spec, parts, rest_parts) < 1e-5


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("outputs", [8, 13, 24])
def test_any_number_of_channels(channels: int, outputs: int) -> None:
    assert error(stem_depthwise((1, channels, 10, 36), outputs, SAME)) < 1e-5


@pytest.mark.parametrize(
    "first",
    [RELU, RELU6, clamp(RESULT, 0.0, 0.3), RESULT, clamp(RESULT, -1.0, 1.0), HARD_SWISH, apply("exp", X)],
)
@pytest.mark.parametrize("second", [RESULT, RELU6, HARD_SWISH])
def test_activations(first: Expression, second: Expression) -> None:
    assert error(stem_depthwise((2, 3, 12, 32), 8, SAME, first, second)) < 1e-4


def with_window(op: Conv2d) -> LayerSpec:
    layer = stem_depthwise((1, 3, 12, 32), 16, SAME)
    assert isinstance(layer.op, Chain)
    first, window = layer.op.members
    return replace(layer, op=replace(layer.op, members=(first, replace(window, op=op))))


@pytest.mark.parametrize(
    "spec",
    [
        stem_depthwise((1, 5, 12, 32), 16, SAME),  # too many channels
        stem_depthwise((1, 3, 12, 32), 7, SAME),  # too few
        stem_depthwise((1, 3, 12, 32), 16, (2, 0, 0, 0)),
        stem_depthwise((1, 3, 13, 32), 16, SAME),  # the last row is not the first of two
        stem_depthwise((1, 3, 12, 33), 16, SAME),  # both ends outside
        with_window(Conv2d((3, 3), (1, 1), SAME, groups=8)),
        with_window(Conv2d((3, 3), (2, 2), SAME, groups=16)),
    ],
)
def test_chains_that_it_leaves_to_others(spec: LayerSpec) -> None:
    assert not ALGORITHM.applies(spec, TARGET)


def test_rows_and_columns_beyond_the_input() -> None:
    assert StemDepthwise.require(stem_depthwise((1, 3, 12, 32), 16, (0, 0, 1, 1))).beyond == (1, 1)
    assert StemDepthwise.require(stem_depthwise((1, 3, 12, 32), 16, SAME)).beyond == (0, 0)
