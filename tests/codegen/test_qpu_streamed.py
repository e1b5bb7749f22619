"""Products of matrices all of whose scalars are uniforms: any rows a tile, any number of QPUs, in step or alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from codegen.algorithm import algorithm_named
from codegen.engine_registry import layout_named
from codegen.engines.videocore4.algorithm import QpuAlgorithm
from codegen.engines.videocore4.algorithms.matrices import BEFORE, MIXED, SCALARS, UNIFORMS
from codegen.engines.videocore4.kernels.streamed import STREAMED_ROWS
from codegen.engines.videocore4.link import link_single
from codegen.engines.videocore4.parts import dealt_to
from codegen.errors import ScheduleError
from codegen.graph import LayerSpec
from codegen.operators.contraction import Contraction
from codegen.operators.fully_connected import FullyConnected
from codegen.reference import evaluate_layer
from codegen.schedule import Choice, Point
from codegen.target import Target
from tests.codegen.gpu_run import TARGET, execute, random_tensors
from tests.codegen.layers import inferred_layer

CONSTANT = inferred_layer(FullyConnected(), (55, 112), weights=((100, 112), (100,)))
TWO = inferred_layer(Contraction(("bmk", "bkn"), "bmn"), (2, 55, 80), (2, 80, 70))
NAMES = {CONSTANT: "qpu_fully_connected_rows", TWO: "qpu_matrix_product"}


def choice_of(spec: LayerSpec, target: Target, rows: int, scalars: str) -> Choice:
    point: Point = {
        "pixel_tiles": 1,
        "neighbours": "channels",
        "rows": rows,
        "scalars": scalars,
        "ordering": BEFORE,
    }
    name = NAMES.get(spec, "qpu_fully_connected_rows")
    copied: Point = {} if name == "qpu_fully_connected_rows" else {"second": "copied"}
    return algorithm_named(name).choice(spec, target, {**point, **copied})


def error_of(spec: LayerSpec, choice: Choice, target: Target, profile_target: Target = TARGET) -> float:
    """Largest error over the largest reference value; fails on stale reads and on writes beside the output."""
    algorithm = algorithm_named(choice.algorithm)
    assert isinstance(algorithm, QpuAlgorithm)
    inputs, weights = random_tensors(spec, 1)
    layout = layout_named("nchw")
    program = link_single(
        algorithm.lower(spec, target, choice, weights),
        [layout.size_bytes(tensor) for tensor in spec.inputs],
        [layout.size_bytes(spec.output)],
        profile_target.qpus,
    )
    (memory,), runs = execute(program, [layout.pack(value) for value in inputs])
    assert not any(run.stale_reads for run in runs)
    (wanted,) = evaluate_layer(spec, inputs, weights)
    return float(np.abs(layout.unpack(memory, spec.output) - wanted).max() / np.abs(wanted).max())


@pytest.mark.parametrize("spec", NAMES, ids=["constant", "two activations"])
@pytest.mark.parametrize("rows", STREAMED_ROWS)
def test_any_number_of_rows(spec: LayerSpec, rows: int) -> None:
    assert error_of(spec, choice_of(spec, TARGET, rows, UNIFORMS), TARGET) < 1e-5


@pytest.mark.parametrize("spec", NAMES, ids=["constant", "two activations"])
@pytest.mark.parametrize("qpus", [1, 5, 6])
@pytest.mark.parametrize("scalars", SCALARS)
def test_any_number_of_qpus(spec: LayerSpec, qpus: int, scalars: str) -> None:
    target = replace(TARGET, qpus=qpus)
    assert error_of(spec, choice_of(spec, target, 22, scalars), target, target) < 1e-5


@pytest.mark.parametrize(("qpus", "parts"), [(12, 2), (6, 2), (5, 3), (1, 4)])
def test_qpus_of_several_launches_keep_in_step_with_those_of_their_own(qpus: int, parts: int) -> None:
    target = replace(TARGET, qpus=qpus)
    spec = inferred_layer(FullyConnected(), (270, 32), weights=((128, 32), (128,)))
    dealt = dealt_to(target, parts)
    assert dealt.qpus_at_once == qpus
    assert error_of(spec, choice_of(spec, dealt, 21, UNIFORMS), dealt, target) < 1e-5


def test_refusals() -> None:
    with pytest.raises(ScheduleError, match="rows"):
        choice_of(CONSTANT, TARGET, STREAMED_ROWS[-1], MIXED)
    with pytest.raises(ScheduleError, match="copy"):
        algorithm_named("qpu_matrix_product").choice(
            TWO,
            TARGET,
            {
                "pixel_tiles": 1,
                "neighbours": "channels",
                "rows": 22,
                "scalars": UNIFORMS,
                "ordering": BEFORE,
                "second": "in_place",
            },
        )


def test_uniforms_are_in_the_l2_when_they_are_read() -> None:
    spec = inferred_layer(FullyConnected(), (132, 256), weights=((128, 256), (128,)))
    algorithm = algorithm_named("qpu_fully_connected_rows")
    assert isinstance(algorithm, QpuAlgorithm)
    choice = choice_of(spec, TARGET, 22, UNIFORMS)
    inputs, weights = random_tensors(spec, 1)
    layout = layout_named("nchw")
    program = link_single(
        algorithm.lower(spec, TARGET, choice, weights),
        [layout.size_bytes(spec.inputs[0])],
        [layout.size_bytes(spec.output)],
        TARGET.qpus,
    )
    _, (run,) = execute(program, [layout.pack(inputs[0])])
    streamed_bytes = 4 * 132 * 256
    assert run.counters["uniform_sdram_bytes"] < 0.3 * streamed_bytes
