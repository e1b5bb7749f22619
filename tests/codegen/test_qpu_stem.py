"""Convolutions of few planes with a pool behind, on the QPUs: forms of the kernel, and what is refused."""

from __future__ import annotations

from dataclasses import replace

import pytest

from codegen.algorithm import algorithm_named
from codegen.engines.videocore4.kernels.row_pieces import vpm_columns, vpm_slots
from codegen.engines.videocore4.kernels.stem import (
    Form,
    row_instructions,
    stem_kernel,
)
from codegen.errors import ScheduleError
from codegen.expression import RESULT, Operand, apply
from codegen.graph import LayerSpec
from codegen.operators.chain import Chain
from codegen.operators.conv2d import Conv2d
from codegen.operators.pool2d import Pool2d
from tests.codegen.algorithm_layers import LAYERS
from tests.codegen.gpu_run import TARGET, relative_error
from tests.codegen.layers import inferred_layer

ALGORITHM = algorithm_named("qpu_stem")
SQUEEZENET = Form(3, (3, 3), (2, 2), (3, 3), 2, 5)
CACHED_INSTRUCTIONS = 512


def test_the_loop_of_a_form_is_about_its_work() -> None:
    """The instruction cache holds it."""
    short = replace(SQUEEZENET, pixels=4)
    added = len(stem_kernel(SQUEEZENET).words) - len(stem_kernel(short).words)
    assert abs(added - (row_instructions(SQUEEZENET) - row_instructions(short))) < 16
    assert row_instructions(SQUEEZENET) < CACHED_INSTRUCTIONS


@pytest.mark.parametrize(
    "form",
    [
        replace(SQUEEZENET, pixels=8),  # sums
        replace(SQUEEZENET, channels=4),  # weights
        Form(5, (1, 1), (1, 1), (2, 2), 2, 12),  # lines
        replace(SQUEEZENET, pixels=17),
    ],
)
def test_forms_that_a_kernel_cannot_have(form: Form) -> None:
    with pytest.raises(ScheduleError):
        stem_kernel(form)


def test_columns_of_the_vpm_are_those_of_one_qpu() -> None:
    for pixels in (2, 3, 4, 5):
        slots = vpm_slots(pixels)
        firsts = [vpm_columns(slot, pixels)[0] & 63 for slot in range(slots)]
        own = [{(first >> 4, (first & 15) + pixel) for pixel in range(pixels)} for first in firsts]
        assert slots >= TARGET.qpus
        assert len(set().union(*own)) == slots * pixels
        assert all(tile < 4 and column < 16 for places in own for tile, column in places)


def with_members(first: Conv2d | None = None, pool: Pool2d | None = None) -> LayerSpec:
    layer = LAYERS["stem"]
    assert isinstance(layer.op, Chain)
    window, behind = layer.op.members
    window = replace(window, op=first or window.op)
    behind = inferred_layer(pool, *window.outputs) if pool else behind
    return replace(layer, op=Chain((window, behind), layer.op.sources), outputs=behind.outputs)


@pytest.mark.parametrize(
    "pool",
    [
        Pool2d("average", (3, 3), (2, 2)),
        Pool2d("max", (3, 3), (1, 1)),  # three rows of outputs under way
        Pool2d("max", (3, 3), (2, 2), epilogue=apply("exp", RESULT)),
    ],
)
def test_pools_that_it_leaves_to_others(pool: Pool2d) -> None:
    assert not ALGORITHM.applies(with_members(pool=pool), TARGET)


def test_an_activation_that_is_no_clamp_is_left_to_others() -> None:
    first = Conv2d((3, 3), (2, 2), epilogue=apply("exp", Operand(0)))
    assert not ALGORITHM.applies(with_members(first), TARGET)


@pytest.mark.parametrize("pool", [Pool2d("max", (2, 2), (2, 2)), Pool2d("max", (1, 3), (3, 3), (0, 1, 0, 1))])
@pytest.mark.parametrize("parts", [1, 4])
def test_other_windows(pool: Pool2d, parts: int) -> None:
    spec = with_members(pool=pool)
    choice = ALGORITHM.choice(spec, TARGET, {"pixels": 3, "parts": min(parts, spec.output.shape[2])})
    assert relative_error(spec, choice) < 1e-5
