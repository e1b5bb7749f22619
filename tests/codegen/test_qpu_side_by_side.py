"""Two layers at the same time: right on every board and in every order, and refused where they cannot be."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace

import numpy as np
import pytest

from codegen.algorithm import algorithms
from codegen.engine_registry import engine_named, layout_named
from codegen.engines.videocore4.algorithms.side_by_side import QpuSideBySide
from codegen.engines.videocore4.assembler import Assembler
from codegen.engines.videocore4.kernels.pieces import (
    StoredPart,
    dma_store_rows,
    store_in_parts,
    vpm_write_rows,
)
from codegen.engines.videocore4.layer import RegisterPool
from codegen.engines.videocore4.registers import (
    DMA_STORE_ADDRESS,
    DMA_STORE_WAIT,
    MUTEX,
    MUTEX_RELEASE,
    NULL,
    VPM_WRITE,
    VPM_WRITE_SETUP,
    A,
)
from codegen.engines.videocore4.stores import ROWS, Stores, beside, stores_of, waiting
from codegen.errors import ScheduleError
from codegen.expression import RELU
from codegen.graph import LayerSpec
from codegen.operators.conv2d import Conv2d
from codegen.operators.pool2d import Pool2d
from codegen.program import GpuProgram
from codegen.reference import evaluate_layer
from codegen.schedule import Candidate, Choice
from codegen.target import Target
from microbench.profile import load_profile
from tests.codegen.algorithm_layers import LAYERS
from tests.codegen.gpu_run import execute, random_tensors
from tests.codegen.layers import inferred_layer
from tests.codegen.pairs import candidate, pair_spec

PI_ZERO = load_profile("pi-zero").target()
SIDE_BY_SIDE = QpuSideBySide()


def convolution(images: int, channels: int, outputs: int, size: tuple[int, int], kernel: int) -> LayerSpec:
    op = Conv2d((kernel, kernel), pads=(kernel // 2,) * 4, epilogue=RELU)
    weights = ((outputs, channels, kernel, kernel), (outputs,))
    return inferred_layer(op, (images, channels, *size), weights=weights)


def pairs(images: int, target: Target) -> dict[str, LayerSpec]:
    """Of all kinds of stores, one and several phases, and one that counts semaphores."""
    point = candidate("qpu_pointwise_relayed", convolution(images, 24, 40, (11, 13), 1), target)
    window = candidate(
        "qpu_implicit_rotated", convolution(images, 10, 26, (11, 13), 3), target, pixel_tiles=1
    )
    pool = inferred_layer(Pool2d("max", (3, 3), (1, 1), (1, 1, 1, 1)), (images, 24, 11, 13))
    winograd = candidate(
        "qpu_winograd_channels", convolution(images, 32, 64, (14, 12), 3), target, pixel_tiles=1
    )
    rows = candidate("qpu_pool_rows", pool, target)
    unfolded = candidate("qpu_im2col_channels", convolution(images, 24, 64, (7, 9), 3), target, pixel_tiles=1)
    lanes = candidate("qpu_pointwise_channels", convolution(images, 48, 64, (9, 7), 1), target, pixel_tiles=1)
    return {
        "channels on lanes and unfolded": pair_spec(lanes, unfolded),
        "1x1 and 3x3": pair_spec(point, window),
        "phases and pool": pair_spec(winograd, rows),
        "pool and phases": pair_spec(rows, winograd),
    }


def in_step(target: Target) -> Candidate:
    deep = convolution(1, 256, 64, (12, 16), 1)
    return candidate("qpu_pointwise_channels", deep, target, pace="in_step", pixel_tiles=1)


def choices(spec: LayerSpec, target: Target) -> Iterator[Choice]:
    for point in SIDE_BY_SIDE.space(spec, target).points():
        with suppress(ScheduleError):
            yield SIDE_BY_SIDE.choice(spec, target, point)


def program_of(spec: LayerSpec, choice: Choice, target: Target, weights: list[np.ndarray]) -> GpuProgram:
    found = engine_named("videocore4").program(SIDE_BY_SIDE, Candidate(spec, choice), target, weights, "pair")
    assert isinstance(found, GpuProgram)
    return found


def check(spec: LayerSpec, choice: Choice, profile: str, target: Target) -> None:
    """Right, without stale reads, and with nothing written beside the outputs."""
    inputs, weights = random_tensors(spec, 4)
    images = [
        layout_named(name).pack(value) for name, value in zip(choice.input_layouts, inputs, strict=True)
    ]
    found, runs = execute(program_of(spec, choice, target, weights), images, load_profile(profile))
    assert all(run.stale_reads == 0 for run in runs)
    expected = evaluate_layer(spec, inputs, weights)
    for name, memory, tensor, wanted in zip(
        choice.output_layouts, found, spec.outputs, expected, strict=True
    ):
        result = layout_named(name).unpack(memory, tensor)
        assert np.abs(result - wanted).max() <= 1e-3 * np.abs(wanted).max()


@pytest.mark.parametrize("images", [1, 2])
@pytest.mark.parametrize(
    ("profile", "qpus"), [("pi-zero", 12), ("pi-1", 5), ("pi-3", 6), ("pi-zero", 2), ("pi-zero", 7)]
)
@pytest.mark.parametrize("name", pairs(1, PI_ZERO))
def test_both_are_right_in_every_order(name: str, profile: str, qpus: int, images: int) -> None:
    target = replace(load_profile(profile).target(), qpus=qpus)
    spec = pairs(images, target)[name]
    found = list(choices(spec, target))
    assert {choice.splits["order"] for choice in found} == {"apart", "first_ahead", "second_ahead"}
    for choice in found:
        check(spec, choice, profile, target)


@pytest.mark.parametrize("qpus", [12, 5])
def test_one_may_keep_its_qpus_in_step(qpus: int) -> None:
    target = replace(PI_ZERO, qpus=qpus)
    other = pairs(1, target)["1x1 and 3x3"].op.members[1]  # type: ignore[attr-defined]
    for spec in (pair_spec(in_step(target), other), pair_spec(other, in_step(target))):
        for choice in choices(spec, target):
            check(spec, choice, "pi-zero", target)


def test_one_qpu_computes_one_layer_after_the_other() -> None:
    assert not SIDE_BY_SIDE.applies(pairs(1, PI_ZERO)["1x1 and 3x3"], replace(PI_ZERO, qpus=1))


def test_two_that_keep_qpus_in_step_are_refused() -> None:
    both = pair_spec(in_step(PI_ZERO), in_step(PI_ZERO))
    choice = next(choices(both, PI_ZERO))
    with pytest.raises(ScheduleError, match="in step"):
        program_of(both, choice, PI_ZERO, random_tensors(both, 0)[1])


def test_kernels_that_fill_the_vpm_without_the_mutex_are_refused() -> None:
    alone = candidate("qpu_stem", LAYERS["stem"], PI_ZERO)
    spec = pair_spec(alone, pairs(1, PI_ZERO)["1x1 and 3x3"].op.members[0])  # type: ignore[attr-defined]
    for choice in choices(spec, PI_ZERO):
        with pytest.raises(ScheduleError, match="without the mutex"):
            program_of(spec, choice, PI_ZERO, random_tensors(spec, 0)[1])


def test_a_layer_dealt_out_to_several_launches_is_refused() -> None:
    spec = pairs(1, PI_ZERO)["1x1 and 3x3"]
    choice = next(choices(spec, PI_ZERO))
    slow = replace(PI_ZERO, launch_limit_s=1e-4)
    with pytest.raises(ScheduleError):
        program_of(spec, choice, slow, random_tensors(spec, 0)[1])


# Stores ----------------------------------------------------------------------------------------------------


def kernel(*parts: int) -> tuple[int, ...]:
    """Code that stores parts of so many rows."""
    k, pool = Assembler(), RegisterPool()
    address = pool.take("a")

    def write(k: Assembler, values: object) -> None:
        for value in values:  # type: ignore[attr-defined]
            k.mov(VPM_WRITE, value)

    registers = [pool.take("b") for _ in range(max(parts))]
    store_in_parts(k, [StoredPart(tuple(registers[:rows]), address) for rows in parts], write)
    k.label("end")
    k.mov(NULL, 0)
    return k.assemble()


def test_rows_that_are_filled_first_and_read_last() -> None:
    assert stores_of(kernel(5, 7)) == Stores(frozenset(range(5)), frozenset(range(5, 12)))
    assert stores_of(kernel(6)) == Stores(frozenset(range(6)))


def test_kernels_wait_only_where_the_other_fills_what_they_read() -> None:
    even, short, long = kernel(6, 6), kernel(6, 4), kernel(9, 6)
    assert beside(even, short) == (even, short)
    assert beside(even, long) == (waiting(even), long)
    assert stores_of(waiting(even)).last == frozenset()
    assert stores_of(waiting(even)).first == stores_of(even).first


def test_rows_of_a_set_up_that_is_not_known() -> None:
    k = Assembler()
    k.mov(NULL, MUTEX)
    k.mov(VPM_WRITE_SETUP, A(4))
    k.mov(VPM_WRITE, A(1))
    k.mov(VPM_WRITE_SETUP, A(5))
    k.mov(DMA_STORE_ADDRESS, A(2))
    k.mov(MUTEX_RELEASE, 0)
    k.label("behind")
    k.mov(NULL, 0)
    assert stores_of(k.assemble()) == Stores(ROWS, ROWS)


def test_the_vpm_without_the_mutex() -> None:
    k = Assembler()
    k.mov(VPM_WRITE, A(1))
    with pytest.raises(ScheduleError, match="without the mutex"):
        stores_of(k.assemble())


def skipping(*, waits: bool) -> tuple[int, ...]:
    """Code that may leave out its second store, and the wait for the first."""
    k = Assembler()
    k.mov(NULL, MUTEX)
    k.load(VPM_WRITE_SETUP, vpm_write_rows(0))
    k.mov(VPM_WRITE, A(1))
    k.load(VPM_WRITE_SETUP, dma_store_rows(0, 1))
    k.mov(DMA_STORE_ADDRESS, A(2))
    k.load(VPM_WRITE_SETUP, vpm_write_rows(3))
    k.mov(VPM_WRITE, A(1))
    k.mov(NULL, A(3), set_flags=True)
    k.branch("end", "all_zs")
    k.label("second")
    k.mov(NULL, DMA_STORE_WAIT)
    k.load(VPM_WRITE_SETUP, dma_store_rows(3, 1))
    k.mov(DMA_STORE_ADDRESS, A(2))
    k.label("end")
    if waits:
        k.mov(NULL, DMA_STORE_WAIT)
    k.mov(MUTEX_RELEASE, 0)
    k.label("behind")
    k.mov(NULL, 0)
    return k.assemble()


def test_stores_that_may_be_left_out() -> None:
    assert stores_of(skipping(waits=False)) == Stores(frozenset({0}), frozenset({3}))
    assert stores_of(skipping(waits=True)) == Stores(frozenset({0}))


def test_every_kernel_can_wait_or_is_refused() -> None:
    """All that algorithms make for the layers on which they are tested: with waits nothing is read last."""
    checked = set()
    for name, algorithm in algorithms().items():
        for spec in LAYERS.values():
            if algorithm.engine != "videocore4" or not algorithm.applies(spec, PI_ZERO):
                continue
            with suppress(ScheduleError, AssertionError):
                one = candidate(name, spec, PI_ZERO)
                layer = algorithm.lower(spec, PI_ZERO, one.choice, random_tensors(spec, 0)[1])  # type: ignore[attr-defined]
                for code in layer.codes:
                    assert not stores_of(waiting(code)).last
                    checked.add(name)
    assert len(checked) > 20
