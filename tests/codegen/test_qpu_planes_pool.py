"""Convolutions of few planes and many taps with a pool behind, on the QPUs: forms, and what is refused."""

from __future__ import annotations

from dataclasses import replace

import pytest

from codegen.algorithm import algorithm_named
from codegen.engines.videocore4.kernels.planes import PIXEL_LINES
from codegen.engines.videocore4.kernels.planes_pool import Form, planes_pool_kernel, row_instructions
from codegen.engines.videocore4.kernels.window import QUEUE_DEPTH
from codegen.engines.videocore4.layout import LANES
from codegen.engines.videocore4.registers import TMU_S
from codegen.errors import ScheduleError
from codegen.expression import RESULT, Expression, Operand, apply, clamp
from codegen.graph import LayerSpec
from codegen.operators.chain import Chain
from codegen.operators.conv2d import Conv2d
from codegen.operators.pool2d import Pool2d
from tests.codegen.gpu_run import TARGET, relative_error
from tests.codegen.layer_forms import SAME
from tests.codegen.layers import inferred_layer

ALGORITHM = algorithm_named("qpu_planes_pool")
RESNET = Form(7, 2, 3, 2, 7, (0,))
FORMS = (RESNET, replace(RESNET, pixels=6), Form(5, 2, 2, 2, 7), Form(11, 4, 3, 2, 3))
CACHED_INSTRUCTIONS = 512


def stem(
    shape: tuple[int, int, int, int],
    outputs: int,
    pool: Pool2d,
    *,
    taps: int = 7,
    pads: tuple[int, int, int, int] = (3, 3, 3, 3),
    activation: Expression = RESULT,
) -> LayerSpec:
    op = Conv2d((taps, taps), (2, 2), pads, epilogue=activation)
    first = inferred_layer(op, shape, weights=((outputs, shape[1], taps, taps), (outputs,)))
    second = inferred_layer(pool, *first.outputs)
    chain = Chain((first, second), ((0,), (-1,)))
    return LayerSpec(chain, first.inputs, second.outputs, (*first.weights, *second.weights))


def test_the_kernel_stays_in_the_instruction_cache() -> None:
    short = replace(RESNET, pixels=6)
    added = len(planes_pool_kernel(RESNET).words) - len(planes_pool_kernel(short).words)
    assert row_instructions(RESNET) - row_instructions(short) < added < CACHED_INSTRUCTIONS // 4
    assert len(planes_pool_kernel(RESNET).words) <= CACHED_INSTRUCTIONS


@pytest.mark.parametrize("form", FORMS)
def test_registers_are_free_when_lines_arrive_and_filled_when_they_are_read(form: Form) -> None:
    """Two rows, step by step: what each register holds. A pixel is sent before a line arrives, its products follow."""
    count, weights = len(form.steps), form.layout.weights
    held: dict[object, object] = {}
    arrivals = {row * count + fetch.leaves: (row, fetch) for row in (-1, 0, 1) for fetch in form.fetches}
    for now in range(-count, 2 * count):
        row, number = divmod(now, count)
        if row >= 0:
            assert held[PIXEL_LINES[form.steps[number] // LANES]] == (row, form.steps[number] // LANES, None)
        if now in arrivals:
            of, fetch = arrivals[now]
            place: object = PIXEL_LINES[fetch.line or 0]
            if fetch.tap is not None:
                place = weights[fetch.tap[0]][fetch.tap[1]]
            held[place] = (of + 1, fetch.line, fetch.tap)
        if row >= 0:
            for _, tap in form.row.met(form.steps[number]):
                for vector in range(2):
                    assert held[weights[vector][tap]] == (row, None, (vector, tap))


@pytest.mark.parametrize("form", FORMS)
def test_no_tmu_has_more_requests_than_it_takes(form: Form) -> None:
    count = len(form.steps)
    for tmu in range(len(TMU_S)):
        own = [fetch for fetch in form.fetches if fetch.tmu == tmu]
        for now in range(count):
            times = [now + count * row for row in range(3)]
            under_way = sum(fetch.asked <= time < fetch.leaves for fetch in own for time in times)
            assert under_way <= QUEUE_DEPTH


@pytest.mark.parametrize(
    "form",
    [
        replace(RESNET, pixels=8),  # sums
        replace(RESNET, taps=9),  # weights
        replace(RESNET, stride=4),  # lines of pixels
        Form(2, 3, 3, 2, 4),  # pixels between windows
        Form(3, 1, 3, 2, 7),  # weights are needed as soon as they were
    ],
)
def test_forms_that_a_kernel_cannot_have(form: Form) -> None:
    with pytest.raises(ScheduleError):
        planes_pool_kernel(form)


@pytest.mark.parametrize(
    "spec",
    [
        stem((1, 3, 40, 60), 32, Pool2d("average", (3, 3), (2, 2))),
        stem((1, 3, 40, 60), 32, Pool2d("max", (3, 3), (1, 1))),  # three rows of outputs under way
        stem((1, 3, 40, 60), 31, Pool2d("max", (3, 3), (2, 2))),  # lanes without a channel
        stem((1, 5, 40, 60), 32, Pool2d("max", (3, 3), (2, 2))),  # planes
        stem((1, 3, 40, 60), 32, Pool2d("max", (1, 3), (1, 2))),  # rows that begin and finish outputs
        stem((1, 3, 40, 60), 32, Pool2d("max", (3, 3), (2, 2), (2, 2, 0, 0))),
        stem((1, 3, 40, 60), 32, Pool2d("max", (3, 3), (2, 2)), pads=(9, 3, 3, 3)),  # rows without inputs
        stem((1, 3, 40, 60), 32, Pool2d("max", (3, 3), (2, 2)), activation=apply("exp", Operand(0))),
    ],
)
def test_layers_that_it_leaves_to_others(spec: LayerSpec) -> None:
    assert not ALGORITHM.applies(spec, TARGET)


def test_padded_and_clamped() -> None:
    pool = Pool2d("max", (3, 3), (2, 2), SAME)
    spec = stem((2, 3, 25, 65), 36, pool, activation=clamp(RESULT, -0.4, 0.8))
    for point in ALGORITHM.space(spec, TARGET).points():
        assert (
            relative_error(spec, ALGORITHM.choice(spec, TARGET, point)) < 1e-4
        )  # of the clamp's end, not of sums


@pytest.mark.parametrize("pool", [Pool2d("max", (2, 2), (2, 2)), Pool2d("max", (2, 2), (3, 3), (0, 0, 1, 1))])
def test_other_windows(pool: Pool2d) -> None:
    spec = stem((1, 2, 24, 44), 32, pool, taps=5, pads=(0, 1, 2, 2))
    for point in ALGORITHM.space(spec, TARGET).points():
        assert relative_error(spec, ALGORITHM.choice(spec, TARGET, point)) < 1e-5
